"""GPTQ with groups whose grids follow the weights as they move."""

import numpy as np

from refq.grids.affine import dequantize, quantize
from refq.ranges.minmax import minmax
from refq.solvers import arguments
from refq.solvers.columns import solve


def gptq_grouped(w, hessian, group_size, qmin, qmax, symmetric=True, damping=0.01):
    """GPTQ where the grid of a group is fitted when its turn comes, to the weights as earlier groups have moved them.

    scale, zero_point of a group = minmax(v of the group, qmin, qmax, symmetric); all else as in gptq

    Parameters
        w, hessian, damping: as gptq takes them.
        group_size: int, divides in.
        qmin, qmax, symmetric: as minmax takes them.
    Returns
        q, w_hat, error: as gptq gives them.
        scale: dtype of w (out, in / group_size), above 0.
        zero_point: int32 (out, in / group_size), on the grid.
    Raises
        as gptq and minmax; GroupSizeError: group_size does not divide in.

    >>> gptq_grouped(np.float32([[3.5, 7]]), np.float32([[2, 0], [0, 2]]), 1, -8, 7)[3]
    array([[0.5, 1. ]], dtype=float32)

    Source: GPTQ's program (read), a group size without static groups; minmax is our choice.
    Spec: gptq_grouped
    """
    w, hessian, damping = arguments.weights(w, hessian, damping)
    group_size = arguments.groups(w, group_size, qmin, qmax, symmetric)
    return grouped(w, hessian, group_size, (qmin, qmax), damping, lambda v: minmax(v, qmin, qmax, symmetric))


def grouped(w, hessian, group_size, limits, damping, fit):
    """gptq_grouped with another rule: fit(groups) -> scale and zero_point (out, 1)."""
    shape = len(w), w.shape[1] // group_size
    scale, zero_point = np.empty(shape, w.dtype), np.empty(shape, np.int32)

    def enter(start, v):
        g = start // group_size
        scale[:, g : g + 1], zero_point[:, g : g + 1] = fit(v)
        return take

    def take(j, column):
        grid = scale[:, j // group_size], zero_point[:, j // group_size]
        q = quantize(column, *grid, *limits)
        return q, dequantize(q, *grid)

    q, w_hat, error = solve(w, hessian, damping, np.arange(w.shape[1]), enter, group_size)
    return q, w_hat, error, scale, zero_point
