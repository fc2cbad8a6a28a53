"""The grid of compressed-tensors."""

import numpy as np

from refq import checks
from refq.grids.affine import integer_range
from refq.ranges.minmax import observed_range

SMALLEST = np.float32(2.0**-23)  # what takes the place of a step of 0: float32 epsilon


def compressed_tensors_range(groups, bits=4, symmetric=True):
    """Scale, zero point and code limits as compressed-tensors computes them.

    symmetric: scale = max |x| / 7.5, zero_point = 0    (4 bits)
    asymmetric: scale = (hi - lo) / 15, zero_point = rint(clip(-8 - lo / scale, -8, 7))

    Parameters
        groups: float32 (..., group_size), finite.
        bits: int, 2..8; signed codes.
        symmetric: bool, real 0 at code 0.
    Returns
        scale: float32 (..., 1), above 0.
        zero_point: int32 (..., 1), on the grid.
        qmin, qmax: int.
    Raises
        GridError: the range of a group overflows.

    >>> compressed_tensors_range(np.float32([[-7.5, 3.0]]))
    (array([[1.]], dtype=float32), array([[0]], dtype=int32), -8, 7)

    Source: compressed-tensors 0.20.0, calculate_qparams, read and run.
    Spec: compressed_tensors_range
    """
    groups, bits = checks.preset_arguments(groups, bits)
    qmin, qmax = integer_range(bits)
    lo, hi = observed_range(groups)
    if symmetric:
        scale = np.maximum(-lo, hi) / np.float32((qmax - qmin) / 2)
        zero_point = np.zeros_like(scale)
    else:
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            scale = (hi - lo) / (qmax - qmin)
            zero_point = np.rint(np.clip(qmin - lo / scale, qmin, qmax))
        checks.range_width(scale)
        zero_point = np.nan_to_num(zero_point)  # NaN comes from 0 / 0, a group of zeros
    return np.where(scale == 0, SMALLEST, scale), zero_point.astype(np.int32), qmin, qmax
