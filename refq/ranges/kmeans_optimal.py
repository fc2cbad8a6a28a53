"""The best codebook of k entries: k-means in one dimension, solved exactly."""

import numpy as np

from refq.ranges.arguments import optimal_arguments
from refq.ranges.lloyd import assign


def kmeans_optimal(groups, k, bins=65536):
    """Codebook of k entries with the least squared error in each group, and the index of the nearest.

    min over codebooks of sum (x - nearest entry)**2: exact if a group has at most `bins` different values

    Parameters
        groups: float32 (or float64) (..., n), finite; float64 at most 2**400 in size.
        k: int, 1..256.
        bins: int, 1..65536; values that share their leading bits share a bin, as few bits as at most `bins` bins allow.
    Returns
        codebook: dtype of groups (..., k), ascending; with fewer than k bins the last entry repeats.
        index: uint8 (..., n).
    Raises
        GridError: k or bins outside its range, or a value too large.
        NonFiniteError: groups holds NaN or infinity.
        ShapeError: groups has no axis, or no element a group.

    >>> kmeans_optimal(np.float32([[0, 1, 9, 11]]), 2)
    (array([[ 0.5, 10. ]], dtype=float32), array([[0, 0, 1, 1]], dtype=uint8))

    Source: dynamic programming over sorted values: Wang and Song 2011 (Ckmeans.1d.dp); bins and costs are our choice.
    Spec: kmeans_optimal
    """
    groups, k, bins = optimal_arguments(groups, k, bins)
    codebook = np.empty((*groups.shape[:-1], k), groups.dtype)
    for group in np.ndindex(*groups.shape[:-1]):
        codebook[group] = _codebook(np.sort(groups[group] + groups.dtype.type(0)), k, bins)
    return codebook, assign(groups, codebook)


def _codebook(v, k, bins):
    """The entries for ascending values."""
    bin = _bin_of(v, bins)
    count, total = np.bincount(bin), np.bincount(bin, v)  # bincount adds one after the other, in float64
    cluster = np.zeros(count.size, np.int64)
    cluster[_first_bins(count, total / count, min(k, count.size))] = 1
    cluster = np.cumsum(cluster)
    mean = np.bincount(cluster, total) / np.bincount(cluster, count)
    return np.pad(mean, (0, k - mean.size), mode="edge")


def _bin_of(v, bins):
    """The bin of each ascending value: the leading bits of its order-preserving key, as many as `bins` allows."""
    u = v.view(f"u{v.itemsize}")
    sign = u.dtype.type(1 << (8 * v.itemsize - 1))
    key = np.where(u & sign, ~u, u | sign)
    for shift in range(8 * v.itemsize):
        edges = np.diff(key >> u.dtype.type(shift)) != 0
        if np.count_nonzero(edges) < bins:
            break
    else:
        edges = np.zeros(len(v) - 1, bool)  # one bin for both signs
    return np.concatenate([[0], np.cumsum(edges)])


def _first_bins(count, mean, k):
    """The bins with which the second and later clusters of the best partition begin."""
    bins = count.size
    pieces = _pieces(count, mean)
    least = _cost(pieces, np.zeros(bins, np.int64), np.arange(bins))  # of one cluster that ends with bin j
    starts = [None]
    for c in range(1, k):
        start, least = _cluster(pieces, least, c)
        starts.append(start)
    found = [bins]
    for c in range(k - 1, 0, -1):
        found.append(starts[c][found[-1] - 1])
    return found[:0:-1]


def _cluster(pieces, before, c):
    """The start of cluster c, and the least cost up to it, for each bin j that it may end with.

    Starts ascend with j: that of j lies between those of j - h and j + h, for h = 2**15, 2**14 .. 1 in turn.
    """
    bins = before.size
    starts, least = np.full(bins, c), np.full(bins, np.inf)
    h = 1 << (bins - 1).bit_length()
    while h:
        j = np.arange(h, bins, 2 * h)
        j = j[j >= c]
        high = np.where(j + h < bins, starts[np.minimum(j + h, bins - 1)], bins - 1)
        starts[j], least[j] = _best(pieces, before, j, starts[j - h], np.minimum(j, high))
        h //= 2
    return starts, least


def _best(pieces, before, j, low, high):
    """For each j the first of the best starts from low to high of a cluster that ends with j, and its cost."""
    length = high - low + 1
    end = np.cumsum(length)
    task = np.repeat(np.arange(j.size), length)
    i = np.arange(task.size) + (high + 1 - end)[task]
    cost = before[i - 1] + _cost(pieces, i, j[task])
    least = np.minimum.reduceat(cost, end - length)
    best = np.flatnonzero(cost == least[task])
    return i[best[np.unique(task[best], return_index=True)[1]]], least


def _cost(pieces, i, j):
    """Squared error of one entry for the bins i .. j: two pieces that meet where the highest bit of i and j differs."""
    level = np.frexp(i ^ j)[1] - 1
    return np.where(i == j, 0, _joined(pieces[level, :, i].T, pieces[level, :, j].T)[2])


def _pieces(count, mean):
    """Count, mean and squared error (levels, 3, bins): from a bin to the middle of its block of 2**(level + 1) bins."""
    size = 1 << (count.size - 1).bit_length()
    b = np.arange(size)
    bin = np.array([np.ones(size), np.full(size, mean[-1]), np.zeros(size)])
    bin[:2, : count.size] = count, mean
    left = right = bin  # from a bin to the end of its block of h bins, and from the start of the block to it
    levels = []
    for h in (1 << level for level in range(max(1, size.bit_length() - 1))):
        upper = (b & h) != 0
        levels.append(np.where(upper, right, left))
        middle = (b & -2 * h) + h
        right = np.where(upper, _joined(right[:, middle - 1], right), right)
        left = np.where(upper, left, _joined(left, left[:, np.minimum(middle, size - 1)]))
    return np.array(levels)


def _joined(a, b):
    """Count, mean and squared error of two pieces together; nothing is subtracted that could cancel."""
    n, d = a[0] + b[0], b[1] - a[1]
    return np.array([n, a[1] + d * (b[0] / n), a[2] + b[2] + d * d * (a[0] * b[0] / n)])
