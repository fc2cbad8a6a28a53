"""Twin of refq.ranges.minmax."""

import numpy as np
from numba import prange, types
from numba.extending import overload

from refq import checks
from refq.ranges.minmax import grid_of_range
from refq_fast.kernel import parallel, serial
from refq_fast.simd import LANES, load_floats, maximum, minimum, splat, store
from refq_fast.simd_groups import largest, smallest
from refq_fast.simd_squares import largest_of_each, smallest_of_each

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
    _ends(np.ascontiguousarray(groups).reshape(-1), lo.reshape(-1), hi.reshape(-1))
    return lo, hi


@parallel
def _ends(x, lo, hi):
    size = max(1, x.size // max(1, len(lo)))
    share = CHUNK // size + 1
    for task in prange((len(lo) + share - 1) // share):
        first, last = task * share, min(task * share + share, len(lo))
        ends(x[first * size : last * size], lo[first:last], hi[first:last])


def ends(x, low, high):
    """Fill in the smallest and largest of 0 and each group of a contiguous row of finite numbers."""
    raise NotImplementedError("for kernels only")


@overload(ends)
def _by_width(x, low, high):
    return (lambda x, low, high: _vector_ends(x, low, high)) if x.dtype == types.float32 else _scalar_ends


@serial
def _vector_ends(x, low, high):
    size = x.size // low.size
    whole = size - size % LANES
    side_by_side = low.size - low.size % LANES if size == whole else 0
    if side_by_side:
        _ends_side_by_side(x, size, low[:side_by_side], high[:side_by_side])
    for g in range(side_by_side, low.size):
        start = g * size
        least = most = splat(np.float32(0))
        for i in range(start, start + whole, LANES):
            v = load_floats(x, i)
            least, most = minimum(v, least), maximum(v, most)
        lo, hi = smallest(least), largest(most)
        for i in range(start + whole, start + size):
            lo, hi = min(lo, x[i]), max(hi, x[i])
        low[g], high[g] = lo, hi


@serial
def _ends_side_by_side(x, size, low, high):
    """Of groups that vectors divide, LANES at a time."""
    least, most = np.empty((2, LANES * LANES), np.float32)
    for first in range(0, low.size, LANES):
        for g in range(LANES):
            start = (first + g) * size
            a = b = splat(np.float32(0))
            for i in range(start, start + size, LANES):
                v = load_floats(x, i)
                a, b = minimum(v, a), maximum(v, b)
            store(least, g * LANES, a)
            store(most, g * LANES, b)
        store(low, first, smallest_of_each(least, 0))
        store(high, first, largest_of_each(most, 0))


def _scalar_ends(x, low, high):
    size = x.size // low.size
    for g in range(low.size):
        lo = hi = x[0] * 0
        for i in range(g * size, g * size + size):
            lo, hi = min(lo, x[i]), max(hi, x[i])
        low[g], high[g] = lo, hi
