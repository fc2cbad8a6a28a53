"""The grid of AIMET's SQNR calibration."""

import numpy as np

from refq import checks
from refq.grids.affine import integer_range
from refq.ranges.aimet import SMALLEST
from refq.ranges.minmax import observed_range
from refq.ranges.mse import first_best, sequential_sum

BINS = np.float32(2048)


def aimet_sqnr_range(groups, bits=4, symmetric=True, gamma=3.0):
    """Scale, zero point and code limits as AIMET finds them by its search for the least weighted noise.

    argmin over grids of sum w e**2, e = error at c, the centre of x's bin, w = gamma where c is clipped, else 1

    Parameters
        groups: float32 (..., group_size), at most 2**50 in size.
        bits: int, 2..8.
        symmetric: bool, codes -8..7 with zero point 0, or 0..15.
        gamma: real, 2**-20 .. 2**20; how much a clipped error counts.
    Returns
        scale: float32 (..., 1), at least 2**-23.
        zero_point: int32 (..., 1).
        qmin, qmax: int.
    Raises
        GridError: a value or gamma outside its range.

    >>> aimet_sqnr_range(np.float32([[-8, 7]]), symmetric=False)
    (array([[1.]], dtype=float32), array([[8]], dtype=int32), 0, 15)

    Source: aimet-torch 2.42.0, SqnrEncodingAnalyzer, read and run.
    Spec: aimet_sqnr_range
    """
    groups, bits = checks.preset_arguments(groups, bits)
    checks.within("groups", groups, -(2.0**50), 2.0**50)
    gamma = np.float32(checks.within("gamma", np.float64(checks.number("gamma", gamma)), 2.0**-20, 2.0**20))
    centres = _bin_centres(np.sort(groups, axis=-1))
    n = np.float32(2**bits - 1)
    lo, hi = observed_range(groups)
    hi = np.maximum(hi, lo + n * SMALLEST)
    grids = _symmetric_grids(lo, hi, n) if symmetric else _asymmetric_grids(lo, hi, n)
    scale, offset = first_best(grids, lambda scale, offset: _noise(centres, scale, offset, n, gamma))
    lo = offset * scale
    hi = lo + n * scale
    scale = np.maximum((hi - lo) / n, SMALLEST)
    zero_point = np.zeros_like(lo) if symmetric else np.clip(-np.rint(lo / scale), 0, n)
    return scale, zero_point.astype(np.int32), *integer_range(bits, signed=symmetric)


def _bin_centres(x):
    """Each element of the sorted groups replaced by the centre of its bin of a histogram."""
    left, right = x[..., :1], x[..., -1:]
    half = np.where(left == right, np.float32(0.5), np.float32(0))
    left, right = left - half, right + half
    step = (right - left) / BINS
    end, width = (step * BINS + left) - left, (step + left) - left  # as the rounded edges have them
    with np.errstate(invalid="ignore"):
        bins = np.where(end == 0, np.float32(0), np.floor((x - left) * BINS / end))
    return (left + width / 2) + width * np.minimum(bins, BINS - 1)


def _symmetric_grids(lo, hi, n):
    """101 scales, up to 1.01 of the one whose grid is 2 max(hi, -lo) wide."""
    widest = 2 * np.maximum(hi, -lo) / n
    for i in range(1, 102):
        yield np.maximum(widest * np.float32(i) / np.float32(100), SMALLEST), np.full_like(lo, -(n + 1) / 2)


def _asymmetric_grids(lo, hi, n):
    """Grids of 17 widths and up to 21 places, cut to the range low..high that the data has on its own grid."""
    w = (hi - lo) / n
    o = np.rint(lo / w)
    low = w * o
    high = low + w * n
    m = min(int(n), 19)
    places = [np.full_like(lo, np.rint(i * int(n) / m) - int(n)) for i in range(m + 1)]
    for j in range(1, 18):
        d = w * np.float32(j / 16)
        for k in (*places, o):
            first, last = np.maximum(d * k, low), np.minimum(d * k + d * n, high)
            scale = np.maximum((last - first) / n, SMALLEST)
            yield scale, np.rint(first / scale)


def _noise(c, scale, offset, n, gamma):
    """Weighted squared error at the bin centres (..., 1); a code counts from the lower end of the grid."""
    u = np.rint(c / scale - offset)
    q = np.clip(u, 0, n)
    error = (q + offset) * scale - c
    return sequential_sum((error * error * np.where(q == u, np.float32(1), gamma)).astype(np.float64))
