"""Twin of refq.ranges.minmax."""

import numpy as np
from numba import prange, types
from numba.extending import overload

from refq import checks
from refq.ranges.minmax import grid_of_range
from refq_fast.kernel import parallel, serial
from refq_fast.simd import LANES, load_floats, maximum, splat
from refq_fast.simd_groups import largest, minimum, smallest

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
            lo[g], hi[g] = ends(x[g], 0, x.shape[1])


def ends(x, start, stop):
    """Smallest and largest of x[start:stop] and 0, of a contiguous row of finite numbers."""
    raise NotImplementedError("for kernels only")


@overload(ends)
def _by_width(x, start, stop):
    if x.dtype == types.float32:
        return lambda x, start, stop: _vector_ends(x, start, stop)
    return lambda x, start, stop: _ends_from(x, start, stop, x.dtype.type(0), x.dtype.type(0))


@serial
def _vector_ends(x, start, stop):
    whole = stop - (stop - start) % LANES
    least = most = splat(np.float32(0))
    for i in range(start, whole, LANES):
        v = load_floats(x, i)
        least, most = minimum(v, least), maximum(v, most)
    return _ends_from(x, whole, stop, smallest(least), largest(most))


@serial
def _ends_from(x, start, stop, low, high):
    for i in range(start, stop):
        low, high = min(low, x[i]), max(high, x[i])
    return low, high
