"""Laws of codebook_dequantize."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.support import both, floats32, int_arrays, scales, shapes


@st.composite
def arguments(draw):
    shape = draw(shapes())
    size = draw(st.sampled_from([2, 3, 16, 17, 256]))
    q = draw(int_arrays(shape, 0, size - 1, np.uint8))
    return {"q": q, "scale": draw(scales(shape[0])), "codebook": draw(floats32((size,)))}


def edges():
    random = np.random.default_rng(0)
    for shape, size in (((3, 31), 16), ((300, 32), 15), ((2, 8193), 256), ((1, 70001), 3)):
        yield {
            "q": random.integers(0, size, shape).astype(np.uint8),
            "scale": random.choice([0.5, 0.1, -0.3], (shape[0], 1)).astype(np.float32),
            "codebook": random.standard_normal(size).astype(np.float32),
        }


@both
@given(arguments())
def test_entries_at_scale_one(engine, arguments):
    x = engine.codebook_dequantize(arguments["q"], 1.0, arguments["codebook"])
    np.testing.assert_array_equal(x, arguments["codebook"][arguments["q"]])


@both
@given(arguments())
def test_a_power_of_two_is_exact(engine, arguments):
    x = engine.codebook_dequantize(**arguments) * np.float32(0.25)
    arguments["scale"] = arguments["scale"] * np.float32(0.25)
    normal = np.abs(x) >= np.finfo(np.float32).tiny  # what is subnormal was rounded once more
    np.testing.assert_array_equal(engine.codebook_dequantize(**arguments)[normal], x[normal])


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    arguments["scale"] = arguments["scale"].astype(np.float64)
    arguments["codebook"] = arguments["codebook"].astype(np.float64)
    x = engine.codebook_dequantize(**arguments)
    assert x.dtype == np.float64
    np.testing.assert_array_equal(x, refq.codebook_dequantize(**arguments))


def _wrong(function):
    def codebook_dequantize(q, scale, codebook):
        refq.codebook_dequantize(q, scale, codebook)  # for the errors
        return function(q, scale, codebook).astype(np.float32)

    return codebook_dequantize


WRONG = {
    "table sorted first": _wrong(lambda q, s, c: np.sort(c)[q] * s),
    "divided by the scale": _wrong(lambda q, s, c: c[q] / s),
    "scale rounded to float16": _wrong(lambda q, s, c: c[q] * s.astype(np.float16).astype(np.float32)),
    "sign of the scale lost": _wrong(lambda q, s, c: c[q] * np.abs(s)),
    "product rounded to float16": _wrong(lambda q, s, c: (c[q] * s).astype(np.float16)),
    "codes wrapped": lambda q, scale, codebook: codebook[np.asarray(q).astype(int) % codebook.size] * scale,
}
