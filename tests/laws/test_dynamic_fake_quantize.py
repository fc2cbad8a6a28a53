"""Laws of dynamic_fake_quantize."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.support import both, floats32, half_grid


@st.composite
def arguments(draw):
    shape = draw(st.sampled_from([(1,), (7,), (3, 1), (4, 9), (2, 3, 5), (0, 4)]))
    x = draw(half_grid(shape) | floats32(shape)) * draw(st.sampled_from([1, 0.1, 1e-6]))
    x = x + draw(st.sampled_from([0, 0, 30, -30]))
    return {"x": x.astype(np.float32), "bits": draw(st.integers(2, 16)), "symmetric": draw(st.booleans())}


def edges():
    random = np.random.default_rng(0)
    for i, shape in enumerate([(1, 1), (3, 31), (5, 8193), (257, 64), (2, 3, 700), (9000, 1), (8192, 2)]):
        x = random.standard_normal(shape).astype(np.float32)
        x[..., :1] *= random.choice([0, 1, 8], (*shape[:-1], 1))
        yield {"x": x, "bits": (4, 8, 16)[i % 3], "symmetric": i % 2 == 1}


@both
@given(arguments())
def test_a_token_does_not_depend_on_the_others(engine, arguments):
    rows = arguments["x"].reshape(-1, arguments["x"].shape[-1])
    x_hat = engine.dynamic_fake_quantize(**arguments).reshape(rows.shape)
    for row, expected in zip(rows, x_hat, strict=True):
        np.testing.assert_array_equal(engine.dynamic_fake_quantize(**(arguments | {"x": row})), expected)


@both
@given(arguments())
def test_zero_stays_and_nothing_is_further_off_than_half_a_step(engine, arguments):
    x, bits, symmetric = arguments.values()
    x_hat = engine.dynamic_fake_quantize(**arguments)
    lo, hi = np.minimum(x.min(axis=-1, keepdims=True), 0), np.maximum(x.max(axis=-1, keepdims=True), 0)
    step = (np.maximum(-lo, hi) / (2 ** (bits - 1) - 1) if symmetric else (hi - lo) / (2**bits - 1)).astype(np.float64)
    assert (x_hat[x == 0] == 0).all()
    assert (np.abs(x_hat.astype(np.float64) - x) <= step * 0.501 + np.maximum(-lo, hi) * 2.0**-21).all()


@both
@given(arguments())
def test_at_most_2_to_the_bits_different_numbers_a_token(engine, arguments):
    arguments["bits"] = 2 + arguments["bits"] % 2
    for row in engine.dynamic_fake_quantize(**arguments).reshape(-1, arguments["x"].shape[-1]):
        assert len(np.unique(row)) <= 2 ** arguments["bits"]


@both
@given(arguments())
def test_powers_of_two_scale_the_result(engine, arguments):
    arguments["x"] = np.where(np.abs(arguments["x"]) < 1e-30, 0, arguments["x"]).astype(np.float32)
    x_hat = engine.dynamic_fake_quantize(**arguments)
    arguments["x"] = arguments["x"] * np.float32(8)
    np.testing.assert_array_equal(engine.dynamic_fake_quantize(**arguments), x_hat * np.float32(8))


@both
@given(arguments())
def test_codes_from_zero_give_the_same_reals(engine, arguments):
    x, bits, _ = arguments.values()
    qmin, qmax = engine.integer_range(bits, signed=False)
    expected = engine.fake_quantize(x, *engine.minmax(x, qmin, qmax, symmetric=False), qmin, qmax)
    np.testing.assert_array_equal(engine.dynamic_fake_quantize(x, bits), expected)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    arguments["x"] = arguments["x"].astype(np.float64)
    x_hat = engine.dynamic_fake_quantize(**arguments)
    assert x_hat.dtype == np.float64
    np.testing.assert_array_equal(x_hat, refq.dynamic_fake_quantize(**arguments))


def _wrong(view=lambda x: x, bits_less=0, zero_inside=True, symmetric=None):
    def dynamic_fake_quantize(x, bits, **rest):
        refq.dynamic_fake_quantize(x, bits)  # for the errors
        qmin, qmax = refq.integer_range(bits)
        even = rest.get("symmetric", False) if symmetric is None else symmetric
        groups = view(x)
        if even or zero_inside:
            scale, zero_point = refq.minmax(groups, qmin + bits_less, qmax, even)
        else:
            lo, hi = groups.min(axis=-1, keepdims=True), groups.max(axis=-1, keepdims=True)
            scale = np.where(lo == hi, np.float32(1), (hi - lo) / np.float32(qmax - qmin))
            zero_point = (qmin - np.rint(np.clip(lo / scale, -(2**19), 2**19))).astype(np.int32)
        return refq.fake_quantize(groups, scale, zero_point, qmin + bits_less, qmax).reshape(x.shape)

    return dynamic_fake_quantize


def _codes(x, bits, symmetric=False):
    qmin, qmax = refq.integer_range(bits)
    return refq.quantize(x, *refq.minmax(x, qmin, qmax, symmetric), qmin, qmax).astype(np.float32)


def _add_first(x, bits, symmetric=False):
    qmin, qmax = refq.integer_range(bits)
    scale, zero_point = refq.minmax(x, qmin, qmax, symmetric)
    q = np.clip(np.rint(x / scale + zero_point.astype(np.float32)), qmin, qmax)
    return ((q - zero_point) * scale).astype(np.float32)


WRONG = {
    "one grid for all": _wrong(lambda x: x.reshape(1, -1)),
    "a grid a channel": _wrong(lambda x: x.reshape(-1, x.shape[-1]).T if x.ndim == 2 else x),
    "0 not forced inside": _wrong(zero_inside=False),
    "always symmetric": _wrong(symmetric=True),
    "never symmetric": _wrong(symmetric=False),
    "a code less": _wrong(bits_less=1),
    "codes in place of reals": _codes,
    "identity": lambda x, **rest: x,
    "zero point added before rounding": _add_first,
    "16 bits taken for no quantization": lambda x, bits, **rest: (
        x if bits == 16 else refq.dynamic_fake_quantize(x, bits, **rest)
    ),
}
