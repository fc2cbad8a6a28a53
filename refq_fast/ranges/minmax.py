"""Twin of refq.ranges.minmax."""

import numpy as np
from numba import prange

from refq import checks
from refq.ranges.minmax import grid_of_range
from refq_fast.kernel import parallel

CHUNK = 8192  # elements a task, at least


def minmax(groups, qmin, qmax, symmetric=True, scale_dtype="float32"):
    """Twin of refq.minmax.

    One pass over groups, parallel; the rest is done on the two ends of each group.
    Spec: minmax
    """
    groups, qmin, qmax = checks.range_arguments(groups, qmin, qmax, symmetric, scale_dtype)
    return grid_of_range(*observed_range(groups), qmin, qmax, symmetric, scale_dtype)


def observed_range(groups):
    """Smallest and largest value of each group (..., 1), with 0 between them."""
    lo, hi = np.empty((2, *groups.shape[:-1], 1), groups.dtype)
    _ends(np.ascontiguousarray(groups).reshape(-1, groups.shape[-1]), lo.reshape(-1), hi.reshape(-1))
    return lo, hi


@parallel
def _ends(x, lo, hi):
    share = CHUNK // x.shape[1] + 1
    for task in prange((len(x) + share - 1) // share):
        for g in range(task * share, min(task * share + share, len(x))):
            low = high = x[g, 0] * 0
            for v in x[g]:
                low = min(low, v)
                high = max(high, v)
            lo[g], hi[g] = low, high
