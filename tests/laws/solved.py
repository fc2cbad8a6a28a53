"""What the laws of the solvers share: inputs that move together, Hessians of them, and weights on and off the grid."""

import numpy as np
from hypothesis import strategies as st

from tests.support import int_arrays

UNIT = 2.0**-24


@st.composite
def inputs(draw, most=7):
    """x (tokens, in): tenths, correlated, some inputs always 0 or much larger."""
    tokens, width = draw(st.integers(1, 12)), draw(st.integers(1, most))
    x = draw(int_arrays((tokens, width), -20, 20)) * 0.1
    x = x @ (np.eye(width) + draw(int_arrays((width, width), -2, 2)) * 0.5)
    for factor in (0, 30):
        x[:, draw(st.integers(0, width - 1))] *= draw(st.sampled_from([1, 1, factor]))
    return x.astype(np.float32)


@st.composite
def hessians(draw, most=7):
    """Hessians of such inputs, the triangle below the diagonal sometimes spoilt."""
    x = draw(inputs(most)).astype(np.float64)
    found = (2 * x.T @ x / len(x)).astype(np.float32)
    return np.triu(found) if draw(st.booleans()) else found


def large_inputs(shapes, seed=0):
    """Normal x with strong common directions, some dead inputs and some outliers, of the given shapes."""
    random = np.random.default_rng(seed)
    for tokens, width in shapes:
        common = random.standard_normal((tokens, 3)) @ random.standard_normal((3, width))
        x = random.standard_normal((tokens, width)) + common
        x[:, ::37] *= 8
        x[:, 5::41] = 0
        yield x.astype(np.float32)


def large_hessian(width, seed=0):
    """A float32 Hessian of twice as many tokens."""
    x = next(large_inputs([(2 * width + 8, width)], seed)).astype(np.float64)
    return (2 * x.T @ x / len(x)).astype(np.float32)


def damped(hessian, damping):
    """The matrix that is factored, in float64."""
    full = np.triu(hessian).astype(np.float64)
    full += np.triu(full, 1).T
    diagonal = np.where(full.diagonal() == 0, 1, full.diagonal())
    np.fill_diagonal(full, diagonal + damping * diagonal.mean())
    return full
