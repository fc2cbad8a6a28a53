"""Laws of fake_quantize_vjp."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.support import both, floats32, grid_arguments, grid_edges


@st.composite
def arguments(draw):
    rest = draw(grid_arguments())
    return {"g": draw(floats32(rest["x"].shape))} | rest


def edges():
    random = np.random.default_rng(2)
    for rest in grid_edges(3):
        yield {"g": random.standard_normal(rest["x"].shape).astype(np.float32)} | rest


@both
@given(arguments())
def test_passes_or_stops(engine, arguments):
    gx = engine.fake_quantize_vjp(**arguments)
    assert ((gx == arguments["g"]) | (gx == 0)).all()


@both
@given(arguments())
def test_passes_wherever_nothing_is_clipped(engine, arguments):
    g, rest = np.ones_like(arguments.pop("g")), arguments
    wide = engine.quantize(**(rest | {"qmin": -(2**20), "qmax": 2**20}))
    np.testing.assert_array_equal(engine.fake_quantize_vjp(g, **rest) == 1, engine.quantize(**rest) == wide)


@both
@given(arguments())
def test_linear_in_g(engine, arguments):
    double = engine.fake_quantize_vjp(**(arguments | {"g": 2 * arguments["g"]}))
    np.testing.assert_array_equal(double, 2 * engine.fake_quantize_vjp(**arguments))


def _mask(rule):
    def fake_quantize_vjp(g, x, scale, zero_point, qmin, qmax):
        return np.where(rule(x / scale + np.asarray(zero_point, np.float32), qmin, qmax), g, 0).astype(np.float32)

    return fake_quantize_vjp


WRONG = {
    "mask on x / scale": _mask(lambda u, low, high: (low <= u) & (u <= high)),
    "limits excluded": _mask(lambda u, low, high: (low < np.rint(u)) & (np.rint(u) < high)),
    "no mask": lambda g, x, **a: g,
    "true derivative": lambda g, x, **a: np.zeros_like(g),
    "multiplied by scale": lambda g, x, scale, zero_point, qmin, qmax: g * np.float32(scale),
}
