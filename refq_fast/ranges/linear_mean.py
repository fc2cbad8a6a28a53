"""Twin of refq.ranges.linear_mean, and the means of members."""

import numpy as np
from numba import prange

from refq.ranges.arguments import linear_arguments
from refq.ranges.linear_mean import between, ends, width
from refq_fast.grids.affine import CHUNK
from refq_fast.kernel import parallel


def linear_mean(groups, bits):
    """Twin of refq.linear_mean.

    The index in vector lanes, parallel; the sums a group a thread, as their order is fixed.
    Spec: linear_mean
    """
    groups, bins = linear_arguments(groups, bits)
    lo, hi = ends(groups)
    index = np.empty(groups.shape, np.uint8)
    rows = as_groups(groups)
    _bins(rows, lo.reshape(-1), width(lo, hi).reshape(-1), bins, index.reshape(rows.shape))
    return member_means(groups, index, between(lo, hi, np.arange(bins) + 0.5, bins)), index


def as_groups(values):
    """Values (..., n) as rows (groups, n) without gaps."""
    return np.ascontiguousarray(values).reshape(-1, values.shape[-1])


def member_means(groups, index, codebook):
    """The mean of each entry's members, in the dtype of groups; an entry without members stays what it is."""
    means = np.empty(codebook.shape, groups.dtype)
    _member_means(as_groups(groups), as_groups(index), as_groups(codebook), as_groups(means))
    return means


@parallel
def _bins(x, lo, width, bins, index):
    groups, n = x.shape
    chunks = (n + CHUNK - 1) // CHUNK
    for task in prange(groups * chunks):
        group, first = task // chunks, (task % chunks) * CHUNK
        for j in range(first, min(first + CHUNK, n)):
            t = np.floor((np.float64(x[group, j]) - lo[group]) * bins / width[group])
            index[group, j] = np.uint8(min(t, bins - 1.0))


@parallel
def _member_means(x, index, codebook, means):
    groups, k = codebook.shape
    for group in prange(groups):
        count, total = np.zeros(k, np.int64), np.zeros(k)
        for j in range(x.shape[1]):
            count[index[group, j]] += 1
            total[index[group, j]] += x[group, j]
        for i in range(k):
            means[group, i] = total[i] / count[i] if count[i] else codebook[group, i]
