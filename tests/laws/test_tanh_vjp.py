"""Laws of tanh_vjp."""

import numpy as np
from hypothesis import given

import refq
from tests.laws import test_gelu_vjp
from tests.laws.operations import assert_float64_is_kept, assert_linear_in
from tests.support import both

arguments = test_gelu_vjp.arguments


@both
@given(arguments())
def test_linear_in_g(engine, arguments):
    assert_linear_in(engine.tanh_vjp, arguments)


@both
@given(arguments())
def test_even(engine, arguments):
    np.testing.assert_array_equal(engine.tanh_vjp(arguments["g"], -arguments["x"]), engine.tanh_vjp(**arguments))


@both
@given(arguments())
def test_between_0_and_g(engine, arguments):
    gx, g = engine.tanh_vjp(**arguments), arguments["g"]
    assert (gx * g >= 0).all()
    assert (np.abs(gx) <= np.abs(g)).all()


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.tanh_vjp, arguments)


WRONG = {
    "of y for x": lambda g, x: g * (1 - x * x),
    "1 - y": lambda g, x: g * (1 - np.tanh(x)),
    "1 + y * y": lambda g, x: g * (1 + np.tanh(x) ** 2),
    "of a sigmoid": lambda g, x: g * np.tanh(x) * (1 - np.tanh(x)),
    "straight through": lambda g, x: g,
    "g added": lambda g, x: refq.tanh_vjp(np.ones_like(g), x) + g,
}
