"""The bins of refq.kmeans_optimal without sorting, where their counts and sums are sure to be the same."""

import numba
import numpy as np
from numba import prange

from refq_fast.kernel import parallel, serial

SHIFT = 11  # bits of a key that the finest bins leave out
PIECE = 2**23  # values counted in one table: count * 2**40 + offsets, in one word, cannot overflow
SMALLEST, LARGEST = 2**20, 2**27  # values: fewer are sorted sooner, for more the tables are many


def countable(rows, bins):
    """Whether a histogram serves groups of this size: from 512 bins on, a bin has at most 2**23 keys.

    Then it lies between two powers of two and holds multiples of one number: its sum is exact in any order.
    """
    return rows.dtype == np.float32 and SMALLEST <= rows.shape[1] <= LARGEST and bins >= 512


def histogram(x, bins):
    """Count and sum of every bin of a countable group; None if bins may be finer than those that are counted."""
    tables = np.zeros((max(numba.get_num_threads(), -(-x.size // PIECE)), 2 ** (32 - SHIFT)), np.uint64)
    low = np.zeros(len(tables), np.uint32)
    _count(x, tables, low)
    key, count, total = _sums(tables)
    if len(key) <= bins:  # they are the bins only if no two values differ in the bits left out
        return None if low.any() else (count, total)
    return _merged(key, count, total, bins)


@parallel
def _count(x, tables, low):
    for task in prange(len(tables)):
        table, seen = tables[task], np.uint32(0)
        for j in range(len(x) * task // len(tables), len(x) * (task + 1) // len(tables)):
            u = np.float32(x[j] + np.float32(0)).view(np.uint32)  # no -0
            key = u ^ (np.uint32(np.uint32(u).view(np.int32) >> np.int32(31)) | np.uint32(0x80000000))
            offset = key & np.uint32(2**SHIFT - 1)
            seen |= u & np.uint32(2**SHIFT - 1)
            table[key >> np.uint32(SHIFT)] += np.uint64(2**40) + np.uint64(offset)
        low[task] = seen


@serial
def _sums(tables):
    """Leading bits, count and sum of the bins that are not empty."""
    most, found = tables.shape[1], 0
    key, count, total = np.empty(most, np.uint32), np.empty(most), np.empty(most)
    for b in range(most):
        number, offsets = 0, 0
        for table in tables:
            number += np.int64(table[b] >> np.uint64(40))
            offsets += np.int64(table[b] & np.uint64(2**40 - 1))
        if number:
            first, step = _value(b << SHIFT), _value((b << SHIFT) + 1) - _value(b << SHIFT)
            key[found], count[found], total[found] = b, number, first * number + step * offsets
            found += 1
    return key[:found], count[:found], total[:found]


@serial
def _value(key):
    """The number of an order-preserving key."""
    key = np.uint32(key)
    u = key ^ np.uint32(0x80000000) if key & np.uint32(0x80000000) else ~key
    return np.float64(np.uint32(u).view(np.float32))


@serial
def _merged(key, count, total, bins):
    """Bins of as few leading bits less as make them at most `bins`."""
    shift, found = 0, len(key)
    while found > bins:
        shift, found = shift + 1, 1
        for b in range(1, len(key)):
            found += (key[b] >> shift) != (key[b - 1] >> shift)
    counts, totals, place = np.zeros(found), np.zeros(found), 0
    for b in range(len(key)):
        place += b > 0 and (key[b] >> shift) != (key[b - 1] >> shift)
        counts[place] += count[b]
        totals[place] += total[b]
    return counts, totals
