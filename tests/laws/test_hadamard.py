"""Laws of hadamard."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.support import both

CONSTRUCTED = [2, 4, 8, 12, 20, 24, 28, 36, 40, 44, 60, 68, 76, 84, 104, 108, 140, 172, 344, 1376]
COSINES = [3, 5, 6, 7, 9, 10, 14, 52, 156]


@st.composite
def arguments(draw):
    return {"n": draw(st.integers(1, 48) | st.sampled_from([172, 104]))}


@both
@given(arguments())
def test_orthogonal(engine, arguments):
    n, h = arguments["n"], engine.hadamard(**arguments)
    assert h.dtype == np.float64
    np.testing.assert_allclose(h @ h.T, n * np.eye(n), atol=1e-12 * n)
    assert np.abs(h).max() <= np.sqrt(2)


@both
@pytest.mark.parametrize("n", CONSTRUCTED)
def test_entries_of_one_size(engine, n):
    h = engine.hadamard(n)
    assert (np.abs(h) == 1).all()
    np.testing.assert_array_equal(h @ h.T, n * np.eye(n))


@both
@pytest.mark.parametrize("n", COSINES)
def test_cosines_elsewhere(engine, n):
    h = engine.hadamard(n)
    assert (np.abs(h) != 1).any()
    np.testing.assert_array_equal(h[0], np.abs(h[0]))


@both
@pytest.mark.parametrize("n", [1, 2, 12, 28, 172])
def test_twice_the_order(engine, n):
    np.testing.assert_array_equal(engine.hadamard(2 * n), np.kron(engine.hadamard(n), [[1, 1], [1, -1]]))


def wrong(change):
    """hadamard with its matrix changed."""

    def hadamard(n):
        return np.ascontiguousarray(change(refq.hadamard(n)))

    return hadamard


def _sylvester_first(n):
    h = refq.hadamard(n)
    odd = n
    while odd % 2 == 0:
        odd //= 2
    core = refq.hadamard(odd * 4) if n % (4 * odd) == 0 and odd > 1 else refq.hadamard(odd)
    return np.kron(refq.hadamard(n // len(core)), core) if n % len(core) == 0 and odd > 1 and n > len(core) else h


WRONG = {
    "transposed": wrong(lambda h: h.T),
    "divided by the root": wrong(lambda h: h / np.sqrt(len(h))),
    "turned round": wrong(lambda h: -h),
    "rows by their changes of sign": wrong(lambda h: h[np.argsort((np.diff(np.sign(h), axis=1) != 0).sum(axis=1))]),
    "columns reversed": wrong(lambda h: h[:, ::-1]),
    "Sylvester's matrix first": _sylvester_first,
    "float32": wrong(lambda h: h.astype(np.float32)),
    "identity where there is no such matrix": wrong(
        lambda h: h if (np.abs(h) == 1).all() else np.eye(len(h)) * np.sqrt(len(h))
    ),
}
