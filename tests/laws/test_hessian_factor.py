"""Laws of hessian_factor."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refq
from refq.errors import GridError
from tests.laws import solved
from tests.support import both


@st.composite
def arguments(draw):
    return {"hessian": draw(solved.hessians()), "damping": draw(st.sampled_from([0.01, 0.01, 0.1, 1.0, 3]))}


def edges():
    for width in (1, 2, 31, 64, 65, 130, 321):
        yield {"hessian": solved.large_hessian(width, width), "damping": 0.01}


def bound(arguments, expected):
    """A rounding to float32, and what float64 sums of a damped matrix may add."""
    factor, pivots = expected
    return [2 * solved.UNIT * np.abs(factor) + 1e-9, 2 * solved.UNIT * pivots]


@both
@given(arguments())
def test_the_product_is_the_damped_hessian(engine, arguments):
    hessian = arguments["hessian"].astype(np.float64)
    factor, pivots = engine.hessian_factor(hessian, arguments["damping"])
    expected = solved.damped(hessian, arguments["damping"])
    np.testing.assert_allclose(factor * pivots @ factor.T, expected, rtol=0, atol=1e-12 * expected.max())
    assert (pivots > 0).all()
    np.testing.assert_array_equal(np.triu(factor, 1) + np.eye(len(factor)), factor)


@both
@given(arguments())
def test_gives_the_cholesky_factor_of_the_inverse(engine, arguments):
    """U of the paper, upper with U^T U = A^-1, is diag(pivots)^-1/2 S^-1."""
    hessian = arguments["hessian"].astype(np.float64)
    factor, pivots = engine.hessian_factor(hessian, arguments["damping"])
    upper = np.linalg.cholesky(np.linalg.inv(solved.damped(hessian, arguments["damping"]))).T
    found = np.linalg.inv(factor) / np.sqrt(pivots)[:, None]
    np.testing.assert_allclose(found, upper, rtol=0, atol=1e-7 * np.abs(upper).max())


@both
@given(arguments())
def test_what_is_below_the_diagonal_is_not_read(engine, arguments):
    whole = engine.hessian_factor(**arguments)
    arguments["hessian"] = np.triu(arguments["hessian"]) - np.tril(np.ones_like(arguments["hessian"]), -1)
    np.testing.assert_equal(engine.hessian_factor(**arguments), whole)


@both
@given(arguments())
def test_scaling_scales_the_pivots_alone(engine, arguments):
    hessian = arguments["hessian"] + np.diag(arguments["hessian"].diagonal() == 0).astype(np.float32)
    factor, pivots = engine.hessian_factor(hessian, arguments["damping"])
    scaled = engine.hessian_factor(hessian * 8, arguments["damping"])
    np.testing.assert_equal(scaled, (factor, pivots * 8))


@both
@pytest.mark.parametrize("width", [2, 40, 200])
def test_an_input_that_follows_from_later_ones_is_refused(engine, width):
    x = np.random.default_rng(width).standard_normal((3 * width, width))
    x[:, 0] = x[:, 1:].sum(axis=1)
    with pytest.raises(GridError, match="input 0 of the Hessian follows"):
        engine.hessian_factor(x.T @ x, 0)
    engine.hessian_factor(x.T @ x, 1e-6)


def _wrong(prepare=solved.damped, first=False):
    """hessian_factor of another matrix, or from the first input on."""

    def hessian_factor(hessian, damping=0.01):
        matrix = prepare(hessian, damping)
        turned = matrix[::-1, ::-1] if not first else matrix
        lower = np.linalg.cholesky(turned)
        lower = lower[::-1, ::-1] if not first else lower
        return (lower / lower.diagonal()).astype(np.float32), (lower.diagonal() ** 2).astype(np.float32)

    return hessian_factor


def _plain(hessian, damping):
    full = np.triu(hessian).astype(np.float64)
    return full + np.triu(full, 1).T


def _dead_after(hessian, damping):
    full = _plain(hessian, damping)
    dead = full.diagonal() == 0
    full += damping * full.diagonal().mean() * np.eye(len(full))
    full[dead, dead] = 1
    return full


def _relative(hessian, damping):
    full = solved.damped(hessian, 0)
    return full + damping * np.diag(full.diagonal())


def _cholesky(hessian, damping=0.01):
    factor, pivots = refq.hessian_factor(hessian, damping)
    return factor * np.sqrt(pivots), pivots


def _of_the_inverse(hessian, damping=0.01):
    upper = np.linalg.cholesky(np.linalg.inv(solved.damped(hessian, damping))).T
    return upper.astype(np.float32), (upper.diagonal() ** 2).astype(np.float32)


WRONG = {
    "the first input first": _wrong(first=True),
    "not damped": _wrong(lambda h, damping: solved.damped(h, 0)),
    "damping not relative": _wrong(lambda h, damping: solved.damped(h, 0) + damping * np.eye(len(h))),
    "each element by its own share": _wrong(_relative),
    "dead inputs after the damping": _wrong(_dead_after),
    "the lower triangle": _wrong(lambda h, damping: solved.damped(h.T, damping)),
    "with square roots": _cholesky,
    "that of the inverse": _of_the_inverse,
    "square roots of the pivots": lambda h, damping=0.01: _rooted(*refq.hessian_factor(h, damping)),
    "turned": lambda hessian, damping=0.01: _turned(*refq.hessian_factor(hessian, damping)),
}


def _rooted(factor, pivots):
    return factor, np.sqrt(pivots)


def _turned(factor, pivots):
    return factor.T.copy(), pivots
