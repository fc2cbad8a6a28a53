"""Laws of log_softmax."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import test_softmax
from tests.laws.operations import assert_float64_is_kept, cost
from tests.support import both

arguments, edges = test_softmax.arguments, test_softmax.edges


def bound(arguments, expected):
    reach = np.abs(expected).max(axis=-1, keepdims=True) if expected.size else 0
    return cost(np.abs(expected) + 2 * reach + 1, expected.shape[-1] + 20)


@both
@given(arguments())
def test_at_most_zero_and_probabilities_sum_to_one(engine, arguments):
    y = engine.log_softmax(**arguments)
    assert (y <= 0).all()
    np.testing.assert_allclose(np.exp(y.astype(np.float64)).sum(axis=-1), 1, atol=2e-5)


@both
@given(arguments())
def test_differences_are_those_of_x(engine, arguments):
    x = arguments["x"]
    y = engine.log_softmax(x)
    np.testing.assert_allclose(y - y.max(axis=-1, keepdims=True), x - x.max(axis=-1, keepdims=True), atol=1e-5)


@both
@given(arguments(), st.sampled_from([-4096.0, 0.5, 1024.0]))
def test_a_constant_changes_nothing(engine, arguments, constant):
    x = np.rint(arguments["x"])  # so that the shift is exact
    y = engine.log_softmax(x)
    assert (np.abs(engine.log_softmax(x + np.float32(constant)) - y) <= bound({"x": x}, y)).all()


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.log_softmax, arguments)


def quiet(function):
    def called(**arguments):
        with np.errstate(all="ignore"):
            return function(**arguments)

    return called


WRONG = {
    "logarithm of softmax": quiet(lambda x: np.log(refq.softmax(x))),
    "logarithm of softmax and a little": lambda x: np.log(refq.softmax(x) + np.float32(1e-9)),
    "no shift": quiet(lambda x: x - np.log(np.exp(x).sum(axis=-1, keepdims=True))),
    "bits": lambda x: refq.log_softmax(x) / np.float32(np.log(2)),
    "over the first axis": lambda x: np.moveaxis(refq.log_softmax(np.moveaxis(x, 0, -1)), -1, 0),
    "maximum subtracted alone": lambda x: x - x.max(axis=-1, keepdims=True),
    "positive": lambda x: -refq.log_softmax(x),
}
