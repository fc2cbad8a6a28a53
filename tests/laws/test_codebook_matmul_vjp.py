"""Laws of codebook_matmul_vjp."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.laws import test_codebook_matmul
from tests.laws.operations import assert_linear_in, cost, normal, tenths
from tests.laws.test_codebook_matmul import weight
from tests.support import both


@st.composite
def arguments(draw):
    forward = draw(test_codebook_matmul.arguments())
    return {"g": draw(tenths((*forward["x"].shape[:-1], len(forward["packed"]))))} | forward


def edges():
    for forward in test_codebook_matmul.edges():
        yield {"g": normal(4, len(forward["x"]), len(forward["packed"]))} | forward


def bound(arguments, expected):
    return cost(np.abs(arguments["g"]) @ np.abs(weight(arguments)), arguments["g"].shape[-1] + 2)


@both
@given(arguments())
def test_it_is_the_gradient_of_linear(engine, arguments):
    expected = arguments["g"] @ weight(arguments)
    assert (np.abs(engine.codebook_matmul_vjp(**arguments) - expected) <= bound(arguments, expected)).all()


@both
@given(arguments())
def test_linear_in_g(engine, arguments):
    assert_linear_in(engine.codebook_matmul_vjp, arguments)


@both
@given(arguments())
def test_x_does_not_enter(engine, arguments):
    moved = arguments | {"x": arguments["x"] + 1}
    np.testing.assert_array_equal(engine.codebook_matmul_vjp(**moved), engine.codebook_matmul_vjp(**arguments))


WRONG = {name: test_codebook_matmul.WRONG[name] for name in test_codebook_matmul.WRONG if "nibble" not in name}
WRONG |= {"straight through": lambda g, x, **rest: g if g.shape == x.shape else np.zeros_like(x)}
