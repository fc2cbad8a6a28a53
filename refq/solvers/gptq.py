"""GPTQ: each weight to the nearest number of its grid, later weights moved to make up for the error."""

import numpy as np

from refq.grids.affine import dequantize, quantize
from refq.solvers import arguments
from refq.solvers.columns import solve


def gptq(w, hessian, scale, zero_point, qmin, qmax, act_order=False, damping=0.01):
    """Codes for which the outputs of a layer, not its weights, are near the old ones.

    v_j = w_j + sum over i < j of (w_i - w_hat_i) * S_ij;  q_j = quantize(v_j);  w_hat_j = dequantize(q_j)

    Parameters
        w: float32 (or float64) (out, in), finite.
        hessian: float32 or float64 (in, in), finite; what is below the diagonal is not read.
        scale: dtype of w (out, G), the grid of each group of in / G neighbours; finite, not 0.
        zero_point: int32 (out, G), at most 2**20 in size.
        qmin, qmax: int, code limits.
        act_order: bool; inputs by their diagonal element, the largest first, or as they come.
        damping: float, 0 or more, as hessian_factor takes it.
    Returns
        q: int32 (out, in).
        w_hat: dtype of w (out, in), dequantize(q).
        error: dtype of w (out, in), (v - w_hat) * sqrt(pivots): a row's squares sum to (w - w_hat) A (w - w_hat)^T.
    Raises
        GridError: the damped Hessian A is not positive definite, or the grid breaks its rule.
        NonFiniteError: w or hessian holds NaN or infinity.
        ShapeError: shapes that do not fit each other.

    >>> gptq(np.float32([[0.25, 0.5]]), np.float32([[5, 2], [2, 4]]), np.float32([[1]]), np.int32([[0]]), -8, 7)[0]
    array([[0, 1]], dtype=int32)

    Source: GPTQ (2210.17323), algorithm 1, as Babai's nearest plane (2507.18553, recalled); act_order and dead inputs
        as in its program.
    Spec: gptq
    """
    w, hessian, damping = arguments.weights(w, hessian, damping)
    scale, zero_point = arguments.grid(w, scale, zero_point, qmin, qmax)
    order = activation_order(hessian) if act_order else np.arange(w.shape[1])
    group = order // (w.shape[1] // scale.shape[1])  # by its place in w, whatever its turn

    def take(j, column):
        grid = scale[:, group[j]], zero_point[:, group[j]]
        q = quantize(column, *grid, qmin, qmax)
        return q, dequantize(q, *grid)

    return solve(w, hessian, damping, order, lambda start, v: take)


def activation_order(hessian):
    """Inputs by their diagonal element, the largest first, of equal ones the lower first."""
    return np.argsort(-hessian.diagonal(), kind="stable")
