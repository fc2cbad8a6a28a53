"""Twins of refq.ranges.lloyd: thresholds counted in vector lanes, then sums a group a thread."""

import numpy as np
from numba import prange

from refq.ranges.arguments import codebook_arguments, iteration_count
from refq_fast.grids.codebook import decisions
from refq_fast.kernel import parallel
from refq_fast.ranges.linear_mean import as_groups, member_means

CHUNK = 2048  # values a task: they and their counts stay in the nearest cache


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
    _assign(rows, thresholds, order, index.reshape(rows.shape))
    return index


@parallel
def _assign(x, thresholds, order, index):
    groups, n = x.shape
    chunks = (n + CHUNK - 1) // CHUNK
    for task in prange(groups * chunks):
        group, first = task // chunks, (task % chunks) * CHUNK
        t, below = x[group, first : first + CHUNK], index[group, first : first + CHUNK]
        below[:] = 0
        for threshold in thresholds[group]:  # all of them: even 255 beat a search that jumps
            for j in range(len(t)):
                below[j] += np.uint8(t[j] > threshold)
        ascending = True
        for i in range(order.shape[1]):
            ascending &= order[group, i] == i
        if not ascending:
            for j in range(len(t)):
                below[j] = order[group, below[j]]
