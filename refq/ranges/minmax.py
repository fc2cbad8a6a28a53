"""The grid that just holds the data."""

import numpy as np

from refq import checks
from refq.ranges.float16 import float16_scale


def minmax(groups, qmin, qmax, symmetric=True, scale_dtype="float32"):
    """Scale and zero point of the grid from the smallest to the largest value of each group.

    symmetric: scale = max |x| / qmax, zero_point = 0
    asymmetric: scale = (hi - lo) / (qmax - qmin), zero_point = clip(qmin - rint(lo / scale)), with 0 in lo..hi

    Parameters
        groups: float32 (or float64) (..., group_size), finite.
        qmin, qmax: int, code limits; symmetric needs qmin <= -qmax < 0.
        symmetric: bool, real 0 in the middle of the grid.
        scale_dtype: "float32" leaves the scale as computed; "float16" rounds it to a float16-exact value.
    Returns
        scale: dtype of groups (..., 1), above 0; 1 for a group of zeros.
        zero_point: int32 (..., 1), on the grid.
    Raises
        GridError: limits that break their rule; a range or scale that overflows.
        NonFiniteError: groups holds NaN or infinity.
        ShapeError: groups has no axis, or no element a group.
        DtypeError: scale_dtype is another.

    >>> minmax(np.float32([[-1.0, 14.0]]), -8, 7, symmetric=False)
    (array([[1.]], dtype=float32), array([[-7]], dtype=int32))

    Source: Jacob et al. 2018 (1712.05877), section 3, with 0 inside the range; the divisor qmax is AWQ's.
    Spec: minmax
    """
    groups, qmin, qmax = checks.range_arguments(groups, qmin, qmax, symmetric, scale_dtype)
    return grid_of_range(*observed_range(groups), qmin, qmax, symmetric, scale_dtype)


def observed_range(groups):
    """Smallest and largest value of each group (..., 1), with 0 between them."""
    lo = np.minimum(groups.min(axis=-1, keepdims=True), 0)
    hi = np.maximum(groups.max(axis=-1, keepdims=True), 0)
    return lo, hi


def grid_of_range(lo, hi, qmin, qmax, symmetric, scale_dtype):
    """Scale and zero point of the grid for lo <= 0 <= hi: where every range rule ends."""
    real = lo.dtype.type
    if symmetric:
        scale = np.maximum(-lo, hi) / real(qmax)
    else:
        with np.errstate(over="ignore"):
            width = hi - lo
        checks.range_width(width)
        scale = width / real(qmax - qmin)
    scale = np.where(lo == hi, real(1), stored_scale(scale, scale_dtype))  # equal only if both are 0
    zero_point = np.zeros_like(scale) if symmetric else np.clip(qmin - np.rint(lo / scale), qmin, qmax)
    return scale, zero_point.astype(np.int32)


def stored_scale(step, scale_dtype):
    """A step as it will be stored, never 0."""
    if scale_dtype == "float16":
        return float16_scale(step)
    return np.maximum(step, np.finfo(step.dtype).smallest_subnormal)
