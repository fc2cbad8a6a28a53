"""Twins of refq.ranges.lloyd: thresholds counted in vector lanes, then sums a group a thread."""

import numpy as np
from numba import prange

from refq.ranges.arguments import codebook_arguments, iteration_count
from refq_fast.grids.affine import CHUNK
from refq_fast.grids.codebook import decisions
from refq_fast.kernel import parallel
from refq_fast.ranges.linear_mean import as_groups, member_means

FEW = 32  # thresholds that are all compared: more are searched by halves


def lloyd_step(groups, codebook):
    """Twin of refq.lloyd_step.

    The assignment parallel over values, the sums over groups, as their order is fixed.
    Spec: lloyd_step
    """
    groups, codebook = codebook_arguments(groups, codebook)
    index = assign(groups, codebook)
    return member_means(groups, index, codebook), index


def lloyd(groups, codebook, iterations=3):
    """Twin of refq.lloyd.

    As lloyd_step, the arguments checked once.
    Spec: lloyd
    """
    groups, codebook = codebook_arguments(groups, codebook)
    for _ in range(iteration_count(iterations)):
        before, index = codebook, assign(groups, codebook)
        codebook = member_means(groups, index, before)
        if np.array_equal(codebook, before):
            return codebook, index
    return codebook.copy(), assign(groups, codebook)


def assign(groups, codebook):
    """Index of the entry nearest to each value, each group by its own codebook."""
    index = np.empty(groups.shape, np.uint8)
    rows = as_groups(groups)
    thresholds, order = decisions(as_groups(codebook))
    if thresholds.shape[1] > FEW:
        size = 2 ** thresholds.shape[1].bit_length() - 1
        thresholds = np.pad(thresholds, ((0, 0), (0, size - thresholds.shape[1])), constant_values=np.inf)
        _assign_many(rows, thresholds, order, index.reshape(rows.shape))
    else:
        _assign_few(rows, thresholds, order, index.reshape(rows.shape))
    return index


@parallel
def _assign_few(x, thresholds, order, index):
    groups, n = x.shape
    chunks = (n + CHUNK - 1) // CHUNK
    for task in prange(groups * chunks):
        group, first = task // chunks, (task % chunks) * CHUNK
        t = x[group, first : first + CHUNK]
        below = np.zeros(len(t), np.int32)
        for threshold in thresholds[group]:
            for j in range(len(t)):
                below[j] += t[j] > threshold
        for j in range(len(t)):
            index[group, first + j] = order[group, below[j]]


@parallel
def _assign_many(x, thresholds, order, index):
    groups, n = x.shape
    chunks = (n + CHUNK - 1) // CHUNK
    for task in prange(groups * chunks):
        group, first = task // chunks, (task % chunks) * CHUNK
        t = x[group, first : first + CHUNK]
        below = np.zeros(len(t), np.int32)
        half = (thresholds.shape[1] + 1) // 2
        while half:
            for j in range(len(t)):
                below[j] += half if t[j] > thresholds[group, below[j] + half - 1] else 0
            half //= 2
        for j in range(len(t)):
            index[group, first + j] = order[group, below[j]]
