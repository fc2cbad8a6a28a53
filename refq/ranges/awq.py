"""The grid of AWQ."""

import numpy as np

from refq import checks
from refq.grids.affine import integer_range

NARROWEST = np.float32(1e-5)


def awq_range(groups, bits=4, symmetric=True):
    """Scale, zero point and code limits as AWQ computes them.

    symmetric: scale = max |x| / 7, zero_point = 0    (4 bits)
    asymmetric: scale = (max - min) / 15, zero_point = clip(-rint(min / scale), 0, 15); 0 need not lie in the range

    Parameters
        groups: float32 (..., group_size), finite.
        bits: int, 2..8.
        symmetric: bool, codes -8..7 with zero point 0, or 0..15.
    Returns
        scale: float32 (..., 1), above 0.
        zero_point: int32 (..., 1), on the grid.
        qmin, qmax: int.
    Raises
        GridError: the range of a group overflows.

    >>> awq_range(np.float32([[-3.5, 7.0]]))
    (array([[1.]], dtype=float32), array([[0]], dtype=int32), -8, 7)

    Source: autoawq 0.2.9, pseudo_quantize_tensor, read and run.
    Spec: awq_range
    """
    groups, bits = checks.preset_arguments(groups, bits)
    qmin, qmax = integer_range(bits, signed=symmetric)
    lo, hi = groups.min(axis=-1, keepdims=True), groups.max(axis=-1, keepdims=True)
    with np.errstate(over="ignore"):
        width = np.maximum(-lo, hi) if symmetric else hi - lo
        scale = np.maximum(width, NARROWEST) / qmax
        zero_point = np.zeros_like(lo) if symmetric else np.clip(-np.rint(lo / scale), qmin, qmax)
    checks.range_width(width)
    return scale, zero_point.astype(np.int32), qmin, qmax
