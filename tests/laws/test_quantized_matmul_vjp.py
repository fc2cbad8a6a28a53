"""Laws of quantized_matmul_vjp."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import test_quantized_matmul
from tests.laws.operations import assert_linear_in, cost, normal, tenths
from tests.support import both


@st.composite
def arguments(draw):
    forward = draw(test_quantized_matmul.arguments())
    return {"g": draw(tenths((*forward["x"].shape[:-1], len(forward["packed"]))))} | forward


def edges():
    for forward in test_quantized_matmul.edges():
        yield {"g": normal(4, len(forward["x"]), len(forward["packed"]))} | forward


def bound(arguments, expected):
    q, scale, zero_point = test_quantized_matmul.codes(arguments)
    magnitude = np.abs(arguments["g"]) @ (np.abs(scale) * (np.abs(q) + np.abs(zero_point)))
    return cost(magnitude, arguments["g"].shape[-1] + 3)


@both
@given(arguments())
def test_it_is_the_gradient_of_linear(engine, arguments):
    q, scale, zero_point = test_quantized_matmul.codes(arguments)
    expected = arguments["g"] @ refq.dequantize(q, scale, zero_point)
    assert (np.abs(engine.quantized_matmul_vjp(**arguments) - expected) <= bound(arguments, expected)).all()


@both
@given(arguments())
def test_linear_in_g(engine, arguments):
    assert_linear_in(engine.quantized_matmul_vjp, arguments)


@both
@given(arguments())
def test_x_does_not_enter(engine, arguments):
    moved = arguments | {"x": arguments["x"] + 1}
    np.testing.assert_array_equal(engine.quantized_matmul_vjp(**moved), engine.quantized_matmul_vjp(**arguments))


WRONG = {
    "weight transposed": test_quantized_matmul.wrong(transpose=False),
    "every group has the first scale": test_quantized_matmul.wrong(spread=test_quantized_matmul.first_group),
    "groups are strided": test_quantized_matmul.wrong(spread=test_quantized_matmul.strided),
    "zero point ignored": test_quantized_matmul.wrong(zero=lambda q, z: q),
    "straight through": lambda g, x, **rest: g if g.shape == x.shape else np.zeros_like(x),
}
