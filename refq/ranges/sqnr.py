"""AIMET's search: the grid with the least noise, clipping weighted."""

import numpy as np

from refq import checks
from refq.ranges.minmax import grid_of_range, observed_range, stored_scale
from refq.ranges.mse import first_best, sequential_sum

BINS = 2048


def sqnr(groups, qmin, qmax, symmetric=True, scale_dtype="float32", gamma=3.0):
    """Scale and zero point of the grid, among AIMET's candidates, with the least weighted noise in each group.

    argmin over grids of sum w (fake_quantize(c) - c)**2, c = centre of x's bin, w = gamma where c is clipped, else 1

    Parameters
        groups, qmin, qmax, symmetric, scale_dtype: as minmax takes them.
        gamma: real, 2**-20 .. 2**20; how much a clipped error counts.
    Returns
        scale, zero_point: as minmax.
    Raises
        GridError: gamma outside its range; a value above 2**120 in size, with float16 2**14 (qmax - qmin);
            else as minmax.

    >>> sqnr(np.float32([[-8, 7]]), -8, 7, symmetric=False)
    (array([[1.]], dtype=float32), array([[0]], dtype=int32))

    Source: read in aimet-torch 2.42 (SqnrEncodingAnalyzer); the min-max grid as first candidate is ours.
    Spec: sqnr
    """
    groups, qmin, qmax = checks.range_arguments(groups, qmin, qmax, symmetric, scale_dtype)
    limit = largest(qmin, qmax, scale_dtype)
    checks.within("groups", groups, -limit, limit)
    gamma = float(checks.within("gamma", np.float64(checks.number("gamma", gamma)), 2.0**-20, 2.0**20))
    centres = _bin_centres(groups)
    lo, hi = observed_range(groups)

    def grids():
        yield grid_of_range(lo, hi, qmin, qmax, symmetric, scale_dtype)
        if symmetric:
            yield from _symmetric_grids(np.maximum(-lo, hi), qmax - qmin, scale_dtype)
        else:
            for low, high in _ranges(lo, hi, qmax - qmin):
                yield grid_of_range(low, high, qmin, qmax, symmetric, scale_dtype)

    return first_best(grids(), lambda scale, zero_point: _noise(centres, scale, zero_point, (qmin, qmax), gamma))


def largest(qmin, qmax, scale_dtype):
    """How large the values may be, so that no candidate overflows."""
    return 2.0**14 * (qmax - qmin) if scale_dtype == "float16" else 2.0**120


def _bin_centres(groups):
    """Each element replaced by the centre of its bin, of 2,048 from the smallest to the largest of its group."""
    lo, hi = groups.min(axis=-1, keepdims=True), groups.max(axis=-1, keepdims=True)
    bin_width = (hi - lo) / groups.dtype.type(BINS)
    with np.errstate(invalid="ignore", divide="ignore"):
        bins = np.minimum(np.floor((groups - lo) / bin_width), groups.dtype.type(BINS - 1))
        return np.where(bin_width == 0, groups, (lo + bin_width / 2) + bins * bin_width)


def _symmetric_grids(absmax, n, scale_dtype):
    """101 scales, up to 1.01 of the one whose grid is 2 absmax wide."""
    real = absmax.dtype.type
    widest = absmax / real(n) * 2
    zero_point = np.zeros(absmax.shape, np.int32)
    for i in range(1, 102):
        yield stored_scale(widest * real(i) / real(100), scale_dtype), zero_point


def _ranges(lo, hi, n):
    """Ranges of 17 widths and up to 21 places, cut to the range low..high that the data has on its own grid."""
    real = lo.dtype.type
    w = stored_scale((hi - lo) / real(n), "float32")
    o = np.clip(np.rint(lo / w), -n, 0)
    low = w * o
    high = low + w * real(n)
    m = min(n, 19)
    offsets = [np.full_like(lo, np.rint(i * n / m) - n) for i in range(m + 1)]
    for j in range(1, 18):
        d = w * real(j / 16)
        for k in (*offsets, o):
            yield np.maximum(d * k, low), np.minimum(d * k + d * real(n), high)


def _noise(c, scale, zero_point, limits, gamma):
    """Weighted squared error of fake_quantize at the bin centres (..., 1)."""
    zero_point = zero_point.astype(c.dtype)
    with np.errstate(over="ignore"):
        u = np.rint(c / scale) + zero_point
        q = np.clip(u, *limits)
        error = ((q - zero_point) * scale).astype(np.float64) - c
        return sequential_sum(error * error * np.where(q == u, 1.0, gamma))
