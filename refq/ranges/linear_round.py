"""Rounding to evenly spaced entries between the ends of a group."""

import numpy as np

from refq.ranges.arguments import linear_arguments
from refq.ranges.linear_mean import between, ends, width


def linear_round(groups, bits):
    """Codebook and index of 2**bits evenly spaced entries from the smallest to the largest value of each group.

    steps = 2**bits - 1; index = rint((x - lo) * steps / (hi - lo)); codebook[i] = lo + i * (hi - lo) / steps

    Parameters
        groups: float32 (or float64) (..., n), finite; float64 at most 2**400 in size.
        bits: int, 1..8.
    Returns
        codebook: dtype of groups (..., 2**bits), ascending.
        index: uint8 (..., n).
    Raises
        as linear_mean.

    >>> linear_round(np.float32([[0, 1, 2, 9]]), 2)
    (array([[0., 3., 6., 9.]], dtype=float32), array([[0, 0, 1, 3]], dtype=uint8))

    Source: Jacob et al. 2018 (1712.05877), section 3, with a real offset: the ends are entries, 0 need not be one.
    Spec: linear_round
    """
    groups, entries = linear_arguments(groups, bits)
    lo, hi = ends(groups)
    steps = entries - 1
    index = np.rint((groups - lo) * steps / width(lo, hi)).astype(np.uint8)
    return between(lo, hi, np.arange(entries), steps).astype(groups.dtype), index
