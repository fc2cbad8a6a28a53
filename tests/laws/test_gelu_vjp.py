"""Laws of gelu_vjp."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import test_gelu
from tests.laws.operations import assert_float64_is_kept, assert_linear_in, cost, normal, tenths
from tests.support import both


@st.composite
def arguments(draw):
    forward = draw(test_gelu.arguments())
    return {"g": draw(tenths(forward["x"].shape))} | forward


def edges():
    for forward in test_gelu.edges():
        yield {"g": normal(4, *forward["x"].shape)} | forward


def bound(arguments, expected):
    return cost(np.abs(arguments["g"]), 40) + 2.0**-119


@both
@given(arguments())
def test_linear_in_g(engine, arguments):
    assert_linear_in(engine.gelu_vjp, arguments)


@both
@given(arguments())
def test_the_slopes_at_x_and_minus_x_add_up_to_one(engine, arguments):
    there, back = (engine.gelu_vjp(np.ones_like(x), x) for x in (arguments["x"], -arguments["x"]))
    np.testing.assert_allclose(there + back, 1, atol=1e-5)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.gelu_vjp, arguments)


def density(x):
    with np.errstate(all="ignore"):
        return np.exp(-x * x / 2) / np.float32(np.sqrt(2 * np.pi))


def _probability(x):
    return refq.gelu_vjp(np.ones_like(x), x) - x * density(x)


WRONG = {
    "probability alone": lambda g, x: g * _probability(x),
    "density alone": lambda g, x: g * density(x),
    "density without x": lambda g, x: g * (_probability(x) + density(x)),
    "density of variance 1/2": lambda g, x: g * (_probability(x) + x * np.exp(-x * x) / np.float32(np.sqrt(np.pi))),
    "density not normalised": lambda g, x: g * (_probability(x) + x * density(x) * np.float32(np.sqrt(2 * np.pi))),
    "sign of the second term": lambda g, x: g * (_probability(x) - x * density(x)),
    "of gelu_tanh": lambda g, x: refq.gelu_tanh_vjp(g, x),
    "straight through": lambda g, x: g,
    "relu": lambda g, x: np.where(x > 0, g, 0).astype(np.float32),
    "g added": lambda g, x: refq.gelu_vjp(np.ones_like(g), x) + g,
}
