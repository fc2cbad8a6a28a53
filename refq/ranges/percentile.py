"""The grid that holds all but the outermost values."""

import numpy as np

from refq import checks
from refq.ranges.minmax import grid_of_range


def percentile(groups, qmin, qmax, symmetric=True, scale_dtype="float32", percent=99.9):
    """Scale and zero point of the grid between two percentiles of each group.

    symmetric: as minmax for P(|x|)
    asymmetric: as minmax for lo = -P(-x) and hi = P(x), with 0 in lo..hi

    Parameters
        groups, qmin, qmax, symmetric, scale_dtype: as minmax takes them.
        percent: real, 50..100; P(v) is the value that `percent` of the values of v do not exceed.
    Returns
        scale, zero_point: as minmax.
    Raises
        GridError: percent outside 50..100; else as minmax.

    >>> percentile(np.float32([[-1, 0, 2, 100]]), -2, 1, percent=50)
    (array([[1.5]], dtype=float32), array([[0]], dtype=int32))

    Source: linear interpolation between order statistics (Hyndman and Fan 1996, definition 7).
    Spec: percentile
    """
    groups, qmin, qmax = checks.range_arguments(groups, qmin, qmax, symmetric, scale_dtype)
    percent = float(checks.within("percent", np.float64(checks.number("percent", percent)), 50, 100))
    if symmetric:
        hi = _quantile(np.abs(groups), percent)
        return grid_of_range(-hi, hi, qmin, qmax, symmetric, scale_dtype)
    lo, hi = np.minimum(-_quantile(-groups, percent), 0), np.maximum(_quantile(groups, percent), 0)
    return grid_of_range(lo, hi, qmin, qmax, symmetric, scale_dtype)


def _quantile(v, percent):
    """P(v) of the last axis (..., 1): float64, then rounded to the dtype of v."""
    n = v.shape[-1]
    place = (n - 1) * percent / 100
    i = int(place)
    v_sorted = np.sort(v, axis=-1)
    low, high = (v_sorted[..., k, None].astype(np.float64) for k in (i, min(i + 1, n - 1)))
    return (low + (place - i) * (high - low)).astype(v.dtype)
