"""How inputs move together, and the triangle that follows from it."""

import numpy as np

from refq.solvers import arguments


def hessian(x):
    """Second derivative of a linear layer's mean squared error with respect to the weights of one output.

    H = 2 / n * sum over the n tokens of x x^T

    Parameters
        x: float32 (or float64) (..., in), the inputs of the layer, finite; n vectors, at least one.
    Returns
        H: dtype of x (in, in), symmetric.
    Raises
        NonFiniteError: x holds NaN or infinity.
        ShapeError: x has no token, or no input.

    >>> hessian(np.float32([[1, 2], [0, 2]]))
    array([[1., 2.],
           [2., 8.]], dtype=float32)

    Source: GPTQ (2210.17323), section 3; the factor is that of its program, where n counts sequences.
    Spec: hessian
    """
    x = arguments.tokens(x)
    x = x.reshape(-1, x.shape[-1])
    return x.T @ x * x.dtype.type(2) / x.dtype.type(len(x))


def hessian_factor(hessian, damping=0.01):
    """A damped Hessian as the product of a triangle, a diagonal and the triangle turned.

    H + damping * mean(diag H) * I = S diag(pivots) S^T

    Parameters
        hessian: float32 (or float64) (in, in), finite; what is below the diagonal is not read.
        damping: float, 0 or more; the share of the mean diagonal element that is added to each.
    Returns
        factor: S, dtype of hessian (in, in), 0 below the diagonal, 1 on it.
        pivots: dtype of hessian (in,), above 0: what input j contributes that later inputs do not.
    Raises
        GridError: the damped Hessian is not positive definite, or damping is below 0.
        NonFiniteError: hessian holds NaN or infinity.
        ShapeError: hessian is not square.

    >>> hessian_factor(np.float32([[5, 2], [2, 4]]), 0.0)
    (array([[1. , 0.5],
           [0. , 1. ]], dtype=float32), array([4., 4.], dtype=float32))

    Source: the Cholesky factor of GPTQ (2210.17323), section 3.3, inverted and without square roots; dead inputs as in
        its program; the bound on pivots is our choice.
    Spec: hessian_factor
    """
    hessian, damping = arguments.hessian(hessian), arguments.damping(damping)
    factor, pivots = factored(hessian, damping)
    return factor.astype(hessian.dtype), pivots.astype(hessian.dtype)


def factored(hessian, damping):
    """hessian_factor in float64, not rounded."""
    rest = arguments.damped(hessian, damping)
    diagonal = rest.diagonal().copy()
    factor, pivots = np.eye(len(rest)), np.empty(len(rest))
    for j in reversed(range(len(rest))):
        pivots[j] = rest[j, j]
        arguments.definite(j, pivots[j], diagonal[j])
        factor[:j, j] = rest[:j, j] / pivots[j]
        rest[:j, :j] -= np.outer(rest[:j, j], factor[:j, j])
    return factor, pivots
