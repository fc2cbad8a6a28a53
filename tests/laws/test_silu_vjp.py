"""Laws of silu_vjp."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import test_silu
from tests.laws.operations import assert_float64_is_kept, assert_linear_in, cost, normal, tenths
from tests.laws.test_silu import sigmoid
from tests.support import both


@st.composite
def arguments(draw):
    forward = draw(test_silu.arguments())
    return {"g": draw(tenths(forward["x"].shape))} | forward


def edges():
    for forward in test_silu.edges():
        yield {"g": normal(4, *forward["x"].shape)} | forward


def bound(arguments, expected):
    x = arguments["x"].astype(np.float64)
    s = sigmoid(x)
    return cost(np.abs(arguments["g"]) * s * (1 + np.abs(x) * (1 - s)), 40) + 2.0**-119


@both
@given(arguments())
def test_linear_in_g(engine, arguments):
    assert_linear_in(engine.silu_vjp, arguments)


@both
@given(arguments())
def test_the_slopes_at_x_and_minus_x_add_up_to_one(engine, arguments):
    there, back = (engine.silu_vjp(np.ones_like(x), x) for x in (arguments["x"], -arguments["x"]))
    np.testing.assert_allclose(there + back, 1, atol=1e-5)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.silu_vjp, arguments)


WRONG = {
    "sigmoid alone": lambda g, x: g * sigmoid(x),
    "slope of the sigmoid": lambda g, x: g * sigmoid(x) * (1 - sigmoid(x)),
    "straight through": lambda g, x: g,
    "relu": lambda g, x: np.where(x > 0, g, 0).astype(np.float32),
    "sign of the second term": lambda g, x: g * sigmoid(x) * (1 - x * (1 - sigmoid(x))),
    "g added": lambda g, x: refq.silu_vjp(np.ones_like(g), x) + g,
}
