"""Laws of tanh."""

import numpy as np
from hypothesis import given

from tests.laws import test_gelu
from tests.laws.operations import assert_float64_is_kept
from tests.support import both

arguments = test_gelu.arguments


@both
@given(arguments())
def test_odd(engine, arguments):
    np.testing.assert_array_equal(engine.tanh(-arguments["x"]), -engine.tanh(**arguments))


@both
@given(arguments())
def test_never_beyond_1(engine, arguments):
    assert (np.abs(engine.tanh(**arguments)) <= 1).all()


@both
@given(arguments())
def test_of_a_double_argument(engine, arguments):
    t = engine.tanh(arguments["x"])
    np.testing.assert_allclose(engine.tanh(2 * arguments["x"]), 2 * t / (1 + t * t), atol=1e-6)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.tanh, arguments)


def _quotient(x):
    with np.errstate(all="ignore"):
        return ((np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x))).astype(np.float32)


def _by_sigmoid(x):
    with np.errstate(all="ignore"):
        return 2 / (1 + np.exp(-2 * x)) - 1


WRONG = {
    "the formula as it stands": _quotient,
    "2 sigmoid(2 x) - 1": _by_sigmoid,
    "sigmoid": lambda x: (_by_sigmoid(x / 2) + 1) / 2,
    "of x / 2": lambda x: np.tanh(x / 2),
    "clipped line": lambda x: np.clip(x, -1, 1),
    "arc tangent": lambda x: np.arctan(x),
    "integers accepted": lambda x: np.tanh(np.asarray(x, np.float32)),
}
