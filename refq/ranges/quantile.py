"""A codebook that every entry of has as many values around it."""

import numpy as np

from refq.ranges.arguments import linear_arguments
from refq.ranges.lloyd import assign


def quantile_codebook(groups, bits):
    """Codebook of 2**bits quantiles of each group, and the index of the nearest.

    codebook[i] = quantile at (i + 1/2) / 2**bits

    Parameters
        groups: float32 (or float64) (..., n), finite; float64 at most 2**400 in size.
        bits: int, 1..8.
    Returns
        codebook: dtype of groups (..., 2**bits), ascending; entries may be equal.
        index: uint8 (..., n).
    Raises
        as linear_mean.

    >>> quantile_codebook(np.float32([[0, 4, 8, 100]]), 1)
    (array([[ 3., 31.]], dtype=float32), array([[0, 0, 0, 1]], dtype=uint8))

    Source: NF4 (2305.14314, appendix E) takes quantiles of the normal distribution; the halves and definition 7 of
        Hyndman and Fan 1996 are our choice.
    Spec: quantile_codebook
    """
    groups, entries = linear_arguments(groups, bits)
    codebook = quantiles(groups, entries)
    return codebook, assign(groups, codebook)


def quantiles(groups, entries):
    """The quantiles at (i + 1/2) / entries of each group (..., entries): float64, then rounded."""
    n = groups.shape[-1]
    place = (n - 1) * (2 * np.arange(entries) + 1) / (2 * entries)
    i = place.astype(np.int64)
    ascending = np.sort(groups, axis=-1)
    low, high = (ascending[..., at].astype(np.float64) for at in (i, np.minimum(i + 1, n - 1)))
    return (low + (place - i) * (high - low)).astype(groups.dtype)
