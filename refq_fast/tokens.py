"""The grid of one token, for the kernels that quantize activations."""

import numpy as np
from numba import prange

from refq import checks
from refq.errors import GridError
from refq.grids.affine import integer_range
from refq.ranges.token import FAR, NARROW
from refq_fast.kernel import parallel, serial

CHUNK = 8192  # elements a task, at least


def limits(x, bits, symmetric):
    """qmin, qmax, steps of the grid and the smallest step, in the dtype of x."""
    qmin, qmax = integer_range(bits)
    steps = x.dtype.type(qmax if symmetric else qmax - qmin)
    return x.dtype.type(qmin), x.dtype.type(qmax), steps, np.finfo(x.dtype).smallest_subnormal


def codes(x, bits, symmetric, zero, dtype):
    """Codes of x (..., D) in an integer dtype, scale and zero point (..., 1), as token_quantize gives them."""
    grid, rows = limits(x, bits, symmetric), np.ascontiguousarray(x).reshape(-1, x.shape[-1])
    if symmetric and not zero:
        raise GridError("symmetric=True with zero=False; a symmetric grid has 0 in its middle")
    q, (scale, widths) = np.empty(rows.shape, dtype), np.empty((2, len(rows)), x.dtype)
    far = None if zero else (x.dtype.type(NARROW), x.dtype.type(FAR))
    zero_point = np.empty(len(rows), np.int32)
    _quantize(rows, grid, bool(symmetric), far, q, scale, zero_point, widths)
    checks.range_width(widths)
    shape = (*x.shape[:-1], 1)
    return q.reshape(x.shape), scale.reshape(shape), zero_point.reshape(shape)


@serial
def fitted(x, grid, symmetric):
    """minmax of one row: scale, zero point, and the width that must not overflow."""
    lo = hi = grid[0] - grid[0]
    for v in x:
        lo = min(lo, v)
        hi = max(hi, v)
    return over(lo, hi, grid, symmetric)


@serial
def over(lo, hi, grid, symmetric):
    """As fitted, of a row that reaches from lo, at most 0, to hi, at least 0."""
    qmin, qmax, steps, smallest = grid
    if lo == hi:
        return qmax / qmax, lo if symmetric else qmin, lo
    width = max(-lo, hi) if symmetric else hi - lo
    s = max(width / steps, smallest)
    return s, qmin - qmin if symmetric else min(max(qmin - np.rint(lo / s), qmin), qmax), width


@serial
def _fitted_without_zero(x, grid, narrow, far):
    lo = hi = x[0]
    for v in x:
        lo = min(lo, v)
        hi = max(hi, v)
    s = max((hi - lo) / grid[2], narrow)
    return s, grid[0] + np.rint(min(max(-lo / s, -far), far)), hi - lo


@parallel
def _quantize(x, grid, symmetric, far, q, scale, zero_point, widths):
    share = CHUNK // x.shape[1] + 1
    for task in prange((len(x) + share - 1) // share):
        for row in range(task * share, min(task * share + share, len(x))):
            if far is None:
                s, z, widths[row] = fitted(x[row], grid, symmetric)
            else:
                s, z, widths[row] = _fitted_without_zero(x[row], grid, far[0], far[1])
            _round(x[row], s, z, grid, q[row])
            scale[row], zero_point[row] = s, np.int32(z)


@serial
def _round(x, s, z, grid, q):
    for i in range(x.size):
        q[i] = np.int32(min(max(np.rint(x[i] / s) + z, grid[0]), grid[1]))
