"""Bins of equal width, each value replaced by the mean of its bin."""

import numpy as np

from refq.ranges.arguments import linear_arguments


def linear_mean(groups, bits):
    """Codebook and index of 2**bits bins of equal width between the smallest and the largest value of each group.

    index = floor((x - lo) * 2**bits / (hi - lo)), hi in the last bin; codebook[i] = mean of the x with index i

    Parameters
        groups: float32 (or float64) (..., n), finite; float64 at most 2**400 in size.
        bits: int, 1..8.
    Returns
        codebook: dtype of groups (..., 2**bits), ascending; an empty bin has its middle.
        index: uint8 (..., n).
    Raises
        GridError: bits outside its range, or a value too large.
        NonFiniteError: groups holds NaN or infinity.
        ShapeError: groups has no axis, or no element a group.

    >>> linear_mean(np.float32([[0, 1, 2, 4]]), 1)
    (array([[0.5, 3. ]], dtype=float32), array([[0, 0, 1, 1]], dtype=uint8))

    Source: what 2010.07109 compares k-means with (recalled, unverified); top edge, empty bins: our choice.
    Spec: linear_mean
    """
    groups, bins = linear_arguments(groups, bits)
    lo, hi = ends(groups)
    index = np.minimum(np.floor((groups - lo) * bins / width(lo, hi)), bins - 1).astype(np.uint8)
    middle = between(lo, hi, np.arange(bins) + 0.5, bins)
    return member_means(groups, index, middle).astype(groups.dtype), index


def ends(groups):
    """Smallest and largest value of each group (..., 1), in float64."""
    return tuple(end(axis=-1, keepdims=True).astype(np.float64) + 0 for end in (groups.min, groups.max))


def width(lo, hi):
    """hi - lo; 1 where they are equal, so that it can divide."""
    return np.where(lo == hi, 1, hi - lo)


def between(lo, hi, i, steps):
    """The number i steps of `steps` from lo to hi."""
    return np.where(lo == hi, lo, (lo * (steps - i) + hi * i) / steps)


def member_means(groups, index, codebook):
    """The mean of each entry's members, in float64; an entry without members stays what it is."""
    k, n = codebook.shape[-1], groups.shape[-1]
    place = (index.reshape(-1, n) + k * np.arange(groups.size // n)[:, None]).ravel()
    count = np.bincount(place, minlength=codebook.size)
    total = np.bincount(place, groups.ravel(), codebook.size)  # added one after the other, in float64
    mean = codebook.astype(np.float64).ravel()
    np.divide(total, count, out=mean, where=count > 0)
    return mean.reshape(codebook.shape)
