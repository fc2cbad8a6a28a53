"""Laws of softmax_vjp."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import test_softmax
from tests.laws.operations import assert_float64_is_kept, assert_linear_in, cost, normal, softmax_cost, tenths
from tests.support import both


@st.composite
def arguments(draw):
    forward = draw(test_softmax.arguments())
    return {"g": draw(tenths(forward["x"].shape))} | forward


def edges():
    for forward in test_softmax.edges():
        yield {"g": normal(4, *forward["x"].shape)} | forward


def bound(arguments, expected):
    g, y = np.abs(arguments["g"]).astype(np.float64), refq.softmax(arguments["x"].astype(np.float64))
    magnitude = y * (g + (g * y).sum(axis=-1, keepdims=True))
    return cost(magnitude, 2 * softmax_cost(arguments["x"]) + y.shape[-1])


@both
@given(arguments())
def test_linear_in_g(engine, arguments):
    assert_linear_in(engine.softmax_vjp, arguments)


@both
@given(arguments())
def test_it_sums_to_zero(engine, arguments):
    np.testing.assert_allclose(engine.softmax_vjp(**arguments).sum(axis=-1), 0, atol=1e-5)


@both
@given(arguments())
def test_a_constant_gradient_moves_nothing(engine, arguments):
    gx = engine.softmax_vjp(np.ones_like(arguments["x"]), arguments["x"])
    np.testing.assert_allclose(gx, 0, atol=1e-5)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.softmax_vjp, arguments)


WRONG = {
    "diagonal alone": lambda g, x: g * refq.softmax(x) * (1 - refq.softmax(x)),
    "no sum": lambda g, x: g * refq.softmax(x),
    "sum over everything": lambda g, x: refq.softmax(x) * (g - (g * refq.softmax(x)).sum()),
    "of log_softmax": lambda g, x: refq.log_softmax_vjp(g, x),
    "mean for the sum": lambda g, x: refq.softmax(x) * (g - (g * refq.softmax(x)).mean(axis=-1, keepdims=True)),
}
