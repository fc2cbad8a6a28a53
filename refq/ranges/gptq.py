"""The grid of GPTQ."""

import numpy as np

from refq import checks
from refq.grids.affine import integer_range
from refq.ranges.minmax import observed_range


def gptq_range(groups, bits=4, symmetric=True):
    """Scale, zero point and code limits as GPTQ computes them.

    symmetric: scale = 2 max |x| / 15, zero_point = 8    (4 bits)
    asymmetric: scale = (hi - lo) / 15, zero_point = rint(-lo / scale)

    Parameters
        groups: float32 (..., group_size), finite.
        bits: int, 2..8; codes 0 .. 2**bits - 1.
        symmetric: bool, real 0 at the code in the middle.
    Returns
        scale: float32 (..., 1), above 0.
        zero_point: int32 (..., 1).
        qmin, qmax: int.
    Raises
        GridError: the range of a group overflows, or its step underflows to 0.

    >>> gptq_range(np.float32([[-7.5, 3.0]]))
    (array([[1.]], dtype=float32), array([[8]], dtype=int32), 0, 15)

    Source: IST-DASLab/gptq, quant.py, find_params, read; its copy in auto-gptq 0.7.1, run.
    Spec: gptq_range
    """
    groups, bits = checks.preset_arguments(groups, bits)
    qmin, qmax = integer_range(bits, signed=False)
    lo, hi = observed_range(groups)
    if symmetric:
        hi = np.maximum(-lo, hi)
        lo = np.where(lo < 0, -hi, lo)  # without a negative value lo stays 0 and the upper half is clipped
    zeros = (lo == 0) & (hi == 0)
    lo, hi = np.where(zeros, np.float32(-1), lo), np.where(zeros, np.float32(1), hi)
    with np.errstate(over="ignore"):
        scale = (hi - lo) / qmax
    scale = checks.grid_scale(scale, groups)
    zero_point = np.full_like(scale, 2 ** (bits - 1)) if symmetric else np.rint(-lo / scale)
    return scale, zero_point.astype(np.int32), qmin, qmax
