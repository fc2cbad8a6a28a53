"""The arguments of the solvers, each by its rule; both packages call these."""

import math

import numpy as np

from refq import checks
from refq.errors import GridError, ShapeError
from refq.ops.arguments import last_axis

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
    if not 0 <= checks.number("damping", value) < math.inf:
        raise GridError(f"damping={value}; a finite number of 0 or more is needed")
    return float(value)


def weights(w, value, share):
    """Finite w (out, in), a Hessian of its inputs, and the damping."""
    w, value = checks.as_float("w", w), hessian(value)
    if w.ndim != 2 or w.shape[1] != len(value):
        raise ShapeError(f"w has shape {w.shape}; a hessian of shape {value.shape} needs (out, {len(value)})")
    return checks.finite("w", w), value, damping(share)


def grid(w, scale, zero_point, qmin, qmax):
    """scale and zero_point (out, groups), groups a divisor of in."""
    checks.code_limits(qmin, qmax)
    scale = checks.as_float_like("scale", scale, w)
    if scale.ndim != 2 or len(scale) != len(w) or not scale.shape[1] or w.shape[1] % scale.shape[1]:
        raise ShapeError(f"scale has shape {scale.shape}; ({len(w)}, groups) with a divisor of {w.shape[1]} is needed")
    checks.same_shape("zero_point", zero_point, "scale", scale.shape)
    return checks.grid_scale(scale, scale), checks.grid_zero_point(zero_point, scale.shape)


def groups(w, size, qmin, qmax, symmetric):
    """A group size that divides in, and a grid as minmax has it."""
    checks.range_arguments(w, qmin, qmax, symmetric, "float32")
    return checks.group_size(size, -1, w.shape[1])


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
