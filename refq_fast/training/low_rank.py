"""Twins of refq.training.low_rank."""

import numpy as np
from numba import prange

from refq.training import arguments_reconstruction as arguments
from refq_fast.kernel import parallel, serial


def low_rank_merge(w, low, high, scaling):
    """Twin of refq.low_rank_merge.

    A row a task, parallel; its sums stay in the cache.
    Spec: low_rank_merge
    """
    w, low, high, scaling = arguments.low_rank_merge(w, low, high, scaling)
    y = np.empty(w.shape, w.dtype)
    _merge(*map(np.ascontiguousarray, (w, low, high)), scaling, y)
    return arguments.merged(y)


@parallel
def _merge(w, low, high, scaling, y):
    for i in prange(len(w)):
        _row(w[i], low, high[i], scaling, y[i])


@serial
def _row(w, low, high, scaling, y):
    total = np.zeros(w.size)  # float64
    for k in range(len(low)):
        factor = np.float64(high[k])
        for j in range(w.size):
            total[j] += factor * low[k, j]
    for j in range(w.size):
        y[j] = w[j] + scaling * total[j]
