"""The thresholds among which QLLM's search chooses."""

import numpy as np

from refq.transforms import arguments
from refq.transforms.disassembly import split_counts

SMALLEST = 2.0**-126  # the smallest normal float32: below it nothing is worth a split


def threshold_grid(maximum, points=100, ratio=None):
    """Thresholds in equal steps from above the smallest maximum up to the largest, which splits nothing.

    t[p] = min(maximum) + p / points * (max(maximum) - min(maximum)),  p = 1 .. points

    Parameters
        maximum: float32 (or float64), (channels,), as channel_splits takes it.
        points: int, 1 or more.
        ratio: thresholds that make more than ratio * channels extra channels are left out; None leaves out none.
    Returns
        thresholds: dtype of maximum, ascending; the last one is always there.
    Raises
        GridError: maximum, points or ratio breaks its rule.
        NonFiniteError: maximum holds NaN or infinity.

    >>> threshold_grid(np.float32([1, 2, 9]), 4)
    array([3., 5., 7., 9.], dtype=float32)

    Source: QLLM (2310.08041), adaptive reassembly; 100 points (it gives none) and the ratio are our choice.
    Spec: threshold_grid
    """
    maximum = arguments.maxima(maximum)
    p = np.arange(1, arguments.points(points) + 1)
    lo, hi = np.float64(maximum.min()), np.float64(maximum.max())
    grid = _rounded(np.where(p < points, (lo * (points - p) + hi * p) / points, hi), maximum)
    if ratio is None:
        return grid
    most = arguments.ratio(ratio) * len(maximum)
    return np.array([t for t in grid if _extra(maximum, t) <= most], maximum.dtype)


def official_threshold_grid(maximum, ratio=0.2):
    """The thresholds that QLLM's program scores: from the largest maximum down, as long as few channels are added.

    t[k] = max - k * (max - min) / steps,  steps = max(100, floor(max / 0.5)),  where the number of channels changes

    Parameters
        maximum: float32 (or float64), (channels,), as channel_splits takes it; at most 2**20.
        ratio: number, at least 0: it ends where there are more than ratio * channels extra channels.
    Returns
        thresholds: dtype of maximum, descending; may be empty, and never holds one that splits nothing.
    Raises
        GridError: maximum or ratio breaks its rule.
        NonFiniteError: maximum holds NaN or infinity.

    >>> official_threshold_grid(np.float32([0, 0, 0, 0, 100]))
    array([99.5], dtype=float32)

    Source: the official program of QLLM (2310.08041), as it was read.
    Spec: official_threshold_grid
    """
    maximum = arguments.moderate_maxima(maximum)
    before, found = 0, []
    for t, extra in _descent(maximum, ratio):
        if extra != before:
            found.append(t)
        before = extra
    return np.array(found, maximum.dtype)


def expansion_threshold(maximum, ratio):
    """The smallest threshold of that descent that adds at most ratio * channels: a fixed expansion ratio.

    Parameters
        maximum, ratio: as official_threshold_grid takes them.
    Returns
        threshold: dtype of maximum, one number.
    Raises
        as official_threshold_grid.

    >>> expansion_threshold(np.float32([0, 0, 0, 0, 100]), 0.2)
    np.float32(50.0)

    Source: the official program of QLLM (2310.08041), its ablation of a fixed ratio, as it was read.
    Spec: expansion_threshold
    """
    maximum = arguments.moderate_maxima(maximum)
    threshold = _rounded(maximum.max(), maximum)
    for t, _ in _descent(maximum, ratio):
        threshold = t
    return threshold


def _descent(maximum, ratio):
    """Thresholds from below the largest maximum down, and the channels that they add, while those are few enough."""
    most = arguments.ratio(ratio) * len(maximum)
    lo, hi = np.float64(maximum.min()), np.float64(maximum.max())
    steps = max(100, int(hi / 0.5))
    for k in range(1, steps + 1):
        t = _rounded((hi * (steps - k) + lo * k) / steps, maximum)
        extra = _extra(maximum, t)
        if extra > most:
            return
        yield t, extra


def _extra(maximum, threshold):
    return split_counts(maximum, threshold).sum() - len(maximum)


def _rounded(t, maximum):
    return np.maximum(t, SMALLEST).astype(maximum.dtype)
