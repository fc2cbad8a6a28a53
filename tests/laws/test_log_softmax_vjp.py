"""Laws of log_softmax_vjp."""

import numpy as np
from hypothesis import given

import refq
from tests.laws import test_softmax_vjp
from tests.laws.operations import assert_float64_is_kept, assert_linear_in, cost, softmax_cost
from tests.support import both

arguments, edges = test_softmax_vjp.arguments, test_softmax_vjp.edges


def bound(arguments, expected):
    g, y = np.abs(arguments["g"]).astype(np.float64), refq.softmax(arguments["x"].astype(np.float64))
    return cost(g + y * g.sum(axis=-1, keepdims=True), softmax_cost(arguments["x"]) + y.shape[-1])


@both
@given(arguments())
def test_linear_in_g(engine, arguments):
    assert_linear_in(engine.log_softmax_vjp, arguments)


@both
@given(arguments())
def test_it_sums_to_zero(engine, arguments):
    np.testing.assert_allclose(engine.log_softmax_vjp(**arguments).sum(axis=-1), 0, atol=2e-5)


@both
@given(arguments())
def test_softmax_as_the_gradient_moves_nothing(engine, arguments):
    x = arguments["x"]
    np.testing.assert_allclose(engine.log_softmax_vjp(engine.softmax(x), x), 0, atol=1e-5)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.log_softmax_vjp, arguments)


WRONG = {
    "of softmax": lambda g, x: refq.softmax_vjp(g, x),
    "no sum of g": lambda g, x: g - refq.softmax(x),
    "softmax times g": lambda g, x: g - refq.softmax(x) * g,
    "sum over everything": lambda g, x: g - refq.softmax(x) * g.sum(),
    "mean of g": lambda g, x: g - refq.softmax(x) * g.mean(axis=-1, keepdims=True),
}
