"""Laws of dequantize."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.support import both, int_arrays, scales, shapes


@st.composite
def arguments(draw):
    shape = draw(shapes())
    return {
        "q": draw(int_arrays(shape, -300, 300)),
        "scale": draw(scales(shape[0])),
        "zero_point": draw(int_arrays((shape[0], 1), -300, 300)),
    }


def edges():
    random = np.random.default_rng(1)
    for rows, columns in ((1, 1), (3, 31), (64, 257), (1023, 65), (1, 70001)):
        scale = random.choice([0.25, 0.1, -0.3, 1e-3], (rows, 1)).astype(np.float32)
        yield {
            "q": random.integers(-8, 8, (rows, columns)).astype(np.int32),
            "scale": scale,
            "zero_point": random.integers(-8, 8, (rows, 1)).astype(np.int32),
        }


@both
@given(arguments())
def test_the_zero_point_is_zero(engine, arguments):
    arguments["q"] = np.broadcast_to(arguments["zero_point"], arguments["q"].shape).copy()
    assert not engine.dequantize(**arguments).any()


@both
@given(arguments())
def test_odd_around_the_zero_point(engine, arguments):
    mirrored = 2 * arguments["zero_point"] - arguments["q"]
    np.testing.assert_array_equal(engine.dequantize(**arguments), -engine.dequantize(**(arguments | {"q": mirrored})))


@both
@given(arguments())
def test_the_dtype_is_that_of_scale(engine, arguments):
    assert engine.dequantize(**arguments).dtype == np.float32
    assert engine.dequantize(**(arguments | {"scale": arguments["scale"].astype(np.float64)})).dtype == np.float64
    assert engine.dequantize(arguments["q"], np.float64(0.1), 0).dtype == np.float64  # a Python float too
    assert engine.dequantize(arguments["q"], 0.1, 0).dtype == np.float32


WRONG = {
    "scale before the difference": lambda q, scale, zero_point: (
        q * np.float32(scale) - zero_point * np.float32(scale)
    ).astype(np.float32),
    "zero point added": lambda q, scale, zero_point: ((q + zero_point) * np.float32(scale)).astype(np.float32),
    "zero point ignored": lambda q, scale, zero_point: (q * np.float32(scale)).astype(np.float32),
    "difference in int8": lambda q, scale, zero_point: (
        (q.astype(np.int8) - np.asarray(zero_point).astype(np.int8)) * np.float32(scale)
    ),
    "double precision result": lambda q, scale, zero_point: (q - zero_point) * np.float64(scale),
}
