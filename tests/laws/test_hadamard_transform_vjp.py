"""Laws of hadamard_transform_vjp."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import test_hadamard_transform
from tests.laws.operations import assert_float64_is_kept, assert_linear_in, cost, tenths
from tests.laws.test_hadamard_transform import wrong as _product
from tests.support import both


@st.composite
def arguments(draw):
    x = draw(test_hadamard_transform.arguments())["x"]
    return {"g": draw(tenths(x.shape)), "x": x}


@both
@given(arguments())
def test_it_is_a_product_with_the_transpose(engine, arguments):
    g = arguments["g"]
    h, found = engine.hadamard(g.shape[-1]) / np.sqrt(g.shape[-1]), engine.hadamard_transform_vjp(**arguments)
    assert (np.abs(found - g @ h) <= cost(np.abs(g) @ np.abs(h), g.shape[-1] + 2)).all()


@both
@given(arguments())
def test_linear(engine, arguments):
    assert_linear_in(engine.hadamard_transform_vjp, arguments)


@both
@given(arguments())
def test_x_gives_its_shape_alone(engine, arguments):
    other = arguments | {"x": arguments["x"] + np.float32(1)}
    np.testing.assert_array_equal(engine.hadamard_transform_vjp(**other), engine.hadamard_transform_vjp(**arguments))


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.hadamard_transform_vjp, arguments)


def _wrong(matrix):
    return _product(matrix, "hadamard_transform_vjp")


WRONG = {
    "the transform itself": lambda g, x: refq.hadamard_transform(g),
    "no root": _wrong(lambda n: refq.hadamard(n)),
    "divided by n": _wrong(lambda n: refq.hadamard(n) / n),
    "of x": lambda g, x: refq.hadamard_transform_vjp(x, x),
    "another sign": _wrong(lambda n: -refq.hadamard(n) / np.sqrt(n)),
}
