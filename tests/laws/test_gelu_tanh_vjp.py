"""Laws of gelu_tanh_vjp."""

import numpy as np
from hypothesis import given

import refq
from tests.laws import test_gelu_vjp
from tests.laws.operations import assert_float64_is_kept, assert_linear_in, cost
from tests.support import both

arguments, edges = test_gelu_vjp.arguments, test_gelu_vjp.edges


def bound(arguments, expected):
    return cost(np.abs(arguments["g"]), 100) + 2.0**-119


@both
@given(arguments())
def test_linear_in_g(engine, arguments):
    assert_linear_in(engine.gelu_tanh_vjp, arguments)


@both
@given(arguments())
def test_the_slopes_at_x_and_minus_x_add_up_to_one(engine, arguments):
    there, back = (engine.gelu_tanh_vjp(np.ones_like(x), x) for x in (arguments["x"], -arguments["x"]))
    np.testing.assert_allclose(there + back, 1, atol=2e-5)


@both
def test_flat_far_out(engine):
    x = np.float32([100, 1e30, -1e30, -100, 3.4e38, -3.4e38])
    np.testing.assert_array_equal(engine.gelu_tanh_vjp(np.ones_like(x), x), x > 0)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.gelu_tanh_vjp, arguments)


def wrong(factor=3, squared=True, inner=True, half=True, unbounded=False):
    def gelu_tanh_vjp(g, x):
        refq.gelu_tanh_vjp(g, x)
        with np.errstate(all="ignore"):
            c = x if unbounded else np.clip(x, -40, 40)
            t = np.tanh(np.float32(np.sqrt(2 / np.pi)) * (c + np.float32(0.044715) * c * c * c))
            u = np.float32(np.sqrt(2 / np.pi)) * (1 + np.float32(factor * 0.044715) * c * c) if inner else np.float32(1)
            slope = (1 + t) / 2 + c * (1 - t * t if squared else 1 - t) * u * np.float32(0.5 if half else 1)
            return g * slope

    return gelu_tanh_vjp


WRONG = {
    "slope of the cube without its 3": wrong(factor=1),
    "1 - t for 1 - t * t": wrong(squared=False),
    "inner slope forgotten": wrong(inner=False),
    "second term not halved": wrong(half=False),
    "x * u without a limit": wrong(unbounded=True),
    "first term alone": lambda g, x: g * np.where(x == 0, 0.5, refq.gelu_tanh(x) / np.where(x == 0, 1, x)).astype("f"),
    "of gelu": lambda g, x: refq.gelu_vjp(g, x),
    "straight through": lambda g, x: g,
    "g added": lambda g, x: refq.gelu_tanh_vjp(np.ones_like(g), x) + g,
}
