"""The arguments of the solvers, each by its rule; both packages call these."""

import math

import numpy as np

from refq import checks
from refq.errors import GridError, ShapeError
from refq.ops.arguments import last_axis, number

LEAST = 2.0**-40  # of its diagonal element a pivot has at least: less is a rounding error of 0


def tokens(x):
    """Finite x (..., in), at least one token."""
    x = last_axis("x", checks.as_float("x", x))
    if x.size == 0:
        raise ShapeError(f"x has shape {x.shape}; at least one token is needed")
    return checks.finite("x", x)


def hessian(value):
    """A finite square matrix, at least 1 by 1."""
    value = checks.as_float("hessian", value)
    if value.ndim != 2 or value.shape[0] != value.shape[1] or not value.size:
        raise ShapeError(f"hessian has shape {value.shape}; a square matrix (in, in) is needed")
    return checks.finite("hessian", value)


def damping(value):
    """A finite number, 0 or more."""
    if not 0 <= number("damping", value) < math.inf:
        raise GridError(f"damping={value}; a finite number of 0 or more is needed")
    return float(value)


def damped(value, share):
    """A Hessian in float64: 1 for an input that is always 0, then a share of the mean diagonal element added to all."""
    matrix = value.astype(np.float64)
    diagonal = matrix.diagonal().copy()
    diagonal[diagonal == 0] = 1
    np.fill_diagonal(matrix, diagonal + share * diagonal.mean())
    return matrix


def definite(j, pivot, diagonal):
    """The pivot of an input must be clearly above 0."""
    if not pivot > LEAST * diagonal:
        raise GridError(
            f"input {j} of the Hessian follows from later ones: of its {diagonal} less than 2**-40 is its own; "
            "more damping or more tokens are needed"
        )
