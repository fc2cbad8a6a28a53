"""Twin of refq.ranges.kmeans_plus_plus."""

import numpy as np
from numba import prange

from refq.ranges.arguments import draw_arguments
from refq_fast.kernel import parallel, serial
from refq_fast.ranges.linear_mean import as_groups


def kmeans_plus_plus_init(groups, k, draws):
    """Twin of refq.kmeans_plus_plus_init.

    A group a thread; two passes over its values for each entry.
    Spec: kmeans_plus_plus_init
    """
    groups, k, draws = draw_arguments(groups, k, draws)
    codebook = np.empty((*groups.shape[:-1], k), groups.dtype)
    _entries(as_groups(groups), as_groups(draws), as_groups(codebook))
    return codebook


@parallel
def _entries(x, draws, codebook):
    groups, n = x.shape
    for group in prange(groups):
        distance = np.full(n, np.inf)
        codebook[group, 0] = x[group, int(draws[group, 0] * n)]
        for c in range(1, draws.shape[1]):
            total = _nearer(x[group], codebook[group, c - 1], distance)
            drawn = _first_beyond(distance, draws[group, c] * total)
            codebook[group, c] = x[group, drawn] if total else codebook[group, c - 1]
        for c in range(draws.shape[1]):
            codebook[group, c] += x.dtype.type(0)  # no -0


@serial
def _nearer(x, entry, distance):
    """The squared distances with one more entry, and their sum in the order of the values."""
    total = 0.0
    for j in range(len(x)):
        d = np.float64(x[j]) - np.float64(entry)
        distance[j] = min(distance[j], d * d)
    for j in range(len(x)):
        total += distance[j]
    return total


@serial
def _first_beyond(distance, target):
    """The first place where the sum of the distances up to it exceeds the target; the last if none does."""
    reached = 0.0
    for j in range(len(distance)):
        reached += distance[j]
        if reached > target:
            return j
    return len(distance) - 1
