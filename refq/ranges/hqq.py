"""The grid from which HQQ starts."""

import numpy as np

from refq import checks

FLAT = np.float32(1e-4)  # a range up to this is no range: scale 1
LARGEST = np.float32(2e4)  # the largest inverse of a scale


def hqq_range(groups):
    """Scale, zero point and code limits from which HQQ starts at 4 bits, before it optimises the zero.

    inverse = min(15 * (1 / (max - min)), 20000), scale = 1 / inverse, zero_point = rint(-min * inverse)

    Parameters
        groups: float32 (..., group_size), finite.
    Returns
        scale: float32 (..., 1), at least 1 / 20000; 1 where max - min is at most 0.0001.
        zero_point: int32 (..., 1); may lie off the grid: 0 need not lie in the range.
        qmin, qmax: 0, 15.
    Raises
        GridError: the range of a group overflows, or |zero_point| > 2**20.

    >>> hqq_range(np.float32([[2.0, 17.0]]))
    (array([[1.]], dtype=float32), array([[-2]], dtype=int32), 0, 15)

    Source: hqq 0.2.8.post1, Quantizer.quantize with round_zero, its default at 4 bits; read and run.
    Spec: hqq_range
    """
    groups, _ = checks.preset_arguments(groups, bits=4)
    lo, hi = groups.min(axis=-1, keepdims=True), groups.max(axis=-1, keepdims=True)
    with np.errstate(over="ignore", divide="ignore"):
        width = hi - lo
        inverse = np.where(width <= FLAT, np.float32(1), np.minimum(15 * (np.float32(1) / width), LARGEST))
        zero_point = np.rint(-lo * inverse)
    checks.range_width(width)
    return np.float32(1) / inverse, checks.within_limit("zero_point", zero_point), 0, 15
