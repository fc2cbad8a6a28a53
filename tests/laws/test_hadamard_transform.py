"""Laws of hadamard_transform."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws.operations import assert_float64_is_kept, assert_linear_in, cost, tenths
from tests.support import both


@st.composite
def arguments(draw):
    n = draw(st.sampled_from([1, 2, 3, 4, 6, 8, 12, 14, 24, 28, 40]))
    lead = draw(st.sampled_from([(), (1,), (3,), (2, 2), (0,)]))
    return {"x": draw(tenths((*lead, n)))}


@both
@given(arguments())
def test_it_is_a_product_with_the_matrix(engine, arguments):
    x = arguments["x"]
    h, found = engine.hadamard(x.shape[-1]) / np.sqrt(x.shape[-1]), engine.hadamard_transform(x)
    assert found.dtype == x.dtype
    assert (np.abs(found - x @ h.T) <= cost(np.abs(x) @ np.abs(h).T, x.shape[-1] + 2)).all()


@both
@given(arguments())
def test_as_long_as_before(engine, arguments):
    x = arguments["x"].astype(np.float64)
    np.testing.assert_allclose((engine.hadamard_transform(x) ** 2).sum(-1), (x**2).sum(-1), rtol=1e-12, atol=1e-12)


@both
@given(arguments())
def test_linear(engine, arguments):
    assert_linear_in(engine.hadamard_transform, arguments, "x")


@both
@given(arguments())
def test_the_gradient_turns_it_back(engine, arguments):
    x = arguments["x"].astype(np.float64)
    np.testing.assert_allclose(engine.hadamard_transform_vjp(engine.hadamard_transform(x), x), x, atol=1e-12)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.hadamard_transform, arguments)


def wrong(matrix, name="hadamard_transform"):
    """Another product in place of that with hadamard(n) / sqrt(n); x is the last argument."""

    def function(*given, **arguments):
        values = [*given, *arguments.values()]
        getattr(refq, name)(*values)
        return (values[0] @ matrix(values[0].shape[-1])).astype(values[0].dtype)

    return function


def _shuffled(n):
    """A wrong Kronecker order."""
    h = refq.hadamard(n)
    half = n // 2 if n % 2 == 0 else n
    return h.reshape(n, n // half, half).swapaxes(1, 2).reshape(n, n) / np.sqrt(n)


WRONG = {
    "times the matrix, not its transpose": wrong(lambda n: refq.hadamard(n) / np.sqrt(n)),
    "no root": wrong(lambda n: refq.hadamard(n).T),
    "divided by n": wrong(lambda n: refq.hadamard(n).T / n),
    "channels shuffled": wrong(lambda n: _shuffled(n).T),
    "nothing where n is no power of two": wrong(
        lambda n: refq.hadamard(n).T / np.sqrt(n) if n & (n - 1) == 0 else np.eye(n)
    ),
    "another sign": wrong(lambda n: -refq.hadamard(n).T / np.sqrt(n)),
}
