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


@st.composite
def weights(draw, most=8):
    """w, hessian, scale and zero_point of gptq: weights on multiples of half a step, inputs in general position.

    What earlier inputs give to later ones is then never a multiple of half a step, and no order of sums decides a code.
    """
    rows, groups, size = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(1, most // 3))
    random = np.random.default_rng(draw(st.integers(0, 2**16)))
    width = groups * size
    x = random.standard_normal((draw(st.integers(1, 2 * width)), width))
    x = x @ (np.eye(width) + draw(st.sampled_from([0, 0.5, 2])) * random.standard_normal((width, width)))
    x[:, draw(st.integers(0, width - 1))] *= draw(st.sampled_from([1, 1, 0, 20]))
    scale = random.choice([0.5, 1.0, -0.25, 0.1, 0.3, 1 / 3], (rows, groups)).astype(np.float32)
    steps = draw(int_arrays((rows, width), -20, 20)) / 2
    return {
        "w": (steps * np.repeat(scale, size, axis=1)).astype(np.float32),
        "hessian": (2 * x.T @ x / len(x)).astype(draw(st.sampled_from([np.float32, np.float64]))),
        "scale": scale,
        "zero_point": draw(int_arrays((rows, groups), -9, 9)),
    }


def large_weights(shapes, seed=0):
    """The same of (out, in, groups), normal numbers on grids that cut some of them off."""
    random = np.random.default_rng(seed)
    for rows, width, groups in shapes:
        w = random.standard_normal((rows, width)).astype(np.float32)
        scale = (np.abs(w).reshape(rows, groups, -1).max(axis=2) / random.integers(4, 9)).astype(np.float32)
        zero_point = random.integers(-2, 3, (rows, groups)).astype(np.int32)
        yield {"w": w, "hessian": large_hessian(width, width), "scale": scale, "zero_point": zero_point}


def error_bound(w, hessian, error):
    """A rounding to float32, and what is left where v is nearly on the grid."""
    reach = np.abs(w).max() * np.sqrt(2 * hessian.diagonal().max() + 1)
    return 2 * UNIT * np.abs(error) + 1e-11 * reach


def seen(w, hessian):
    """Weights of inputs that move; 0 for those of dead ones."""
    return np.where(hessian.diagonal() == 0, np.float32(0), w)


def output_error(w, w_hat, hessian, damping=0.01):
    """(w - w_hat) A (w - w_hat)^T of every row, A damped."""
    wrong = seen(w, hessian).astype(np.float64) - w_hat
    return np.einsum("ri,ij,rj->r", wrong, damped(hessian, damping), wrong)


def grid_of(scale, zero_point, width):
    """scale and zero_point of every weight."""
    return (np.repeat(part, width // part.shape[1], axis=1) for part in (scale, zero_point))
