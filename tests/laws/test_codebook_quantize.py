"""Laws of codebook_quantize."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.support import both, half_grid, int_arrays, scales, shapes


@st.composite
def arguments(draw):
    shape = draw(shapes())
    scale = draw(scales(shape[0]))
    size = draw(st.sampled_from([2, 3, 4, 5, 16, 17, 256]))
    codebook = draw(half_grid((size,), 9) | int_arrays((size,), -300, 300).map(lambda v: v.astype(np.float32)))
    return {"x": draw(half_grid(shape)) / 2 * scale, "scale": scale, "codebook": codebook}


def edges():
    random = np.random.default_rng(0)
    for shape, size in (((1, 1), 2), ((3, 31), 16), ((65, 33), 16), ((300, 32), 15), ((2, 8193), 256), ((1, 70001), 3)):
        scale = random.choice([0.5, 0.1, -0.3], (shape[0], 1)).astype(np.float32)
        x = (random.integers(-80, 80, shape) / 4).astype(np.float32) * scale
        yield {"x": x, "scale": scale, "codebook": (random.integers(-20, 20, size) / 2).astype(np.float32)}
    neighbours = 1 + np.array([1, 3, 0, 2]) * 2.0**-52  # two of their middles are one number in float64
    yield {"x": neighbours, "scale": np.float64(1), "codebook": neighbours}


@both
@given(arguments())
def test_the_nearest_entry_and_of_ties_the_lower_index(engine, arguments):
    q = engine.codebook_quantize(**arguments)
    t = (arguments["x"] / arguments["scale"]).astype(np.float64)
    distance = np.abs(t[..., None] - arguments["codebook"].astype(np.float64))
    np.testing.assert_array_equal(q, distance.argmin(axis=-1))  # argmin takes the first; both are exact here
    assert q.dtype == np.uint8


@both
@given(st.sets(st.integers(-500, 500), min_size=2, max_size=20), st.randoms(use_true_random=False))
def test_undoes_dequantize(engine, entries, random):
    entries = list(entries)
    random.shuffle(entries)
    codebook = np.array(entries, np.float32) / 2
    q = np.arange(codebook.size, dtype=np.uint8)
    scale = np.float32(0.25)
    np.testing.assert_array_equal(
        engine.codebook_quantize(engine.codebook_dequantize(q, scale, codebook), scale, codebook), q
    )


@both
@given(arguments())
def test_powers_of_two_change_nothing(engine, arguments):
    q = engine.codebook_quantize(**arguments)
    arguments["x"], arguments["scale"] = arguments["x"] * np.float32(8), arguments["scale"] * np.float32(8)
    np.testing.assert_array_equal(engine.codebook_quantize(**arguments), q)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    arguments = {name: value.astype(np.float64) for name, value in arguments.items()}
    np.testing.assert_array_equal(engine.codebook_quantize(**arguments), refq.codebook_quantize(**arguments))


def _nearest(t, codebook):
    return np.abs(t.astype(np.float64)[..., None] - codebook.astype(np.float64)).argmin(axis=-1)


def _wrong(function):
    def codebook_quantize(x, scale, codebook):
        refq.codebook_quantize(x, scale, codebook)  # for the errors
        with np.errstate(over="ignore", invalid="ignore"):
            return function(x, scale, codebook).astype(np.uint8)

    return codebook_quantize


def _last(x, scale, codebook):
    return codebook.size - 1 - _nearest(x / scale, codebook[::-1])


def _by_value(side, dtype=np.float64):
    def codes(x, scale, codebook):
        order = np.argsort(codebook, kind="stable")
        values = codebook[order].astype(dtype)
        middle = (values[1:] + values[:-1]) / dtype(2)
        return order[np.searchsorted(middle, (x / scale).astype(dtype), side=side)]

    return codes


def _unsorted(x, scale, codebook):
    middle = (codebook[1:].astype(np.float64) + codebook[:-1]) / 2
    return np.clip(np.searchsorted(middle, x / scale), 0, codebook.size - 1)


def _without_scale(x, scale, codebook):
    return _nearest(np.clip(x, -1e30, 1e30), codebook)


WRONG = {
    "ties to the higher index": _wrong(_last),
    "ties to the lower value": _wrong(_by_value("left")),
    "ties to the higher value": _wrong(_by_value("right")),
    "midpoints in float32": _wrong(_by_value("left", np.float32)),
    "table taken for sorted": _wrong(_unsorted),
    "product with the reciprocal": _wrong(
        lambda x, s, c: refq.codebook_quantize(np.clip(x * (1 / s), -1e38, 1e38), np.float32(1), c)
    ),
    "division in float64": _wrong(lambda x, s, c: _nearest(x.astype(np.float64) / s, c)),
    "scale forgotten": _wrong(_without_scale),
    "scale taken as positive": _wrong(lambda x, s, c: refq.codebook_quantize(x, np.abs(s), c)),
}
