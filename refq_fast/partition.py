"""The best partition of weighted points on a line into k runs of neighbours: twin of what refq.kmeans_optimal does."""

import numpy as np

from refq_fast.kernel import serial

BLOCK = 2048  # bins whose costs the cache holds
SHORT = 32  # starts to choose from: fewer are compared one by one, without vectors


@serial
def first_bins(count, mean, k):
    """The bin with which each cluster of the best partition begins, and after them the number of bins."""
    last = len(count) - 1
    first = np.zeros(k + 1, np.int64)
    first[k] = last + 1
    if k == 1:
        return first
    pieces = _pieces(count, mean)
    least = np.empty(last + 1)
    starts = np.empty((k, last + 1), np.int32)
    least[0] = 0
    for j in range(1, last + 1):
        least[j] = _cost(pieces, 0, j)
    for c in range(1, k):
        least = _cluster(pieces, least, starts[c], c)
    for c in range(k - 1, 0, -1):
        first[c] = starts[c, first[c + 1] - 1]
    return first


@serial
def _cluster(pieces, before, starts, c):
    """Fills the start of cluster c for each bin that it may end with; gives the least costs up to it."""
    bins, h = len(before), 1
    least, costs = np.full(bins, np.inf), np.empty(bins)
    starts[:] = c
    while h < bins:
        h *= 2
    while h > BLOCK:
        _level(pieces, before, starts, least, costs, c, h, 0, bins)
        h //= 2
    for start in range(0, bins, 2 * h):  # block by block, so that the cache holds what a block needs
        step = h
        while step:
            _level(pieces, before, starts, least, costs, c, step, start, min(start + 2 * h, bins))
            step //= 2
    return least


@serial
def _level(pieces, before, starts, least, costs, c, h, low, high):
    """The odd multiples of h of low .. high - 1, by the starts at those of 2 * h: of equal ones the first."""
    bins = len(before)
    for j in range(low + h, high, 2 * h):
        if j >= c:
            first, stop = starts[j - h], min(starts[j + h] if j + h < bins else j, j)
            if stop - first < SHORT:
                start, best = first, np.inf
                for i in range(first, stop + 1):
                    cost = before[i - 1] + (_cost(pieces, i, j) if i < j else 0.0)
                    if cost < best:
                        start, best = i, cost
                starts[j], least[j] = start, best
            else:
                start = _start(pieces, before, costs, first, stop, j)
                starts[j], least[j] = start, costs[start - first]


@serial
def _start(pieces, before, costs, first, stop, j):
    """The first of the best starts, from first to stop, of a cluster that ends with bin j."""
    top = stop
    if stop == j:
        costs[j - first] = before[j - 1]
        top = j - 1
    while top >= first:  # down the blocks that end before j: within each, one piece of j meets pieces of the others
        level = _highest_bit(top ^ j)
        bottom = max(first, (j >> (level + 1)) << (level + 1))
        _costs(pieces[level], before, costs, j, first, bottom, top)
        top = bottom - 1
    return first + _first_least(costs, stop + 1 - first)


@serial
def _highest_bit(x):
    """floor(log2(x)) of a whole number above 0: the exponent of the real number."""
    return (np.float64(x).view(np.int64) >> 52) - 1023


@serial
def _costs(pieces, before, costs, j, first, bottom, top):
    n, m, q = pieces[0, j], pieces[1, j], pieces[2, j]
    for i in range(bottom, top + 1):
        d = m - pieces[1, i]
        costs[i - first] = before[i - 1] + (pieces[2, i] + q + d * d * (pieces[0, i] * n / (pieces[0, i] + n)))


@serial
def _first_least(costs, count):
    """Place of the first smallest cost. Numbers that are not negative are ordered as their bits: integers in lanes."""
    bits = costs.view(np.int64)
    smallest = bits[0]
    for i in range(1, count):
        smallest = min(smallest, bits[i])
    place = 0
    while bits[place] != smallest:
        place += 1
    return place


@serial
def _cost(pieces, i, j):
    """Squared error of one entry for the bins i .. j, i < j."""
    level = _highest_bit(i ^ j)
    n, m = pieces[level, 0, i], pieces[level, 0, j]
    d = pieces[level, 1, j] - pieces[level, 1, i]
    return pieces[level, 2, i] + pieces[level, 2, j] + d * d * (n * m / (n + m))


@serial
def _pieces(count, mean):
    """Count, mean and squared error (levels, 3, bins): from a bin to the middle of its block of 2**(level + 1) bins."""
    size, levels = 1, 0
    while size < len(count):
        size, levels = 2 * size, levels + 1
    left, right = np.empty((3, size)), np.empty((3, size))
    left[0], left[1], left[2] = 1.0, mean[-1], 0.0
    left[0, : len(count)], left[1, : len(count)] = count, mean
    right[:] = left
    pieces = np.empty((levels, 3, size))
    for level in range(levels):
        h = 1 << level
        for start in range(0, size, 2 * h):
            middle, end = start + h, start + 2 * h
            for part in range(3):
                pieces[level, part, start:middle] = left[part, start:middle]
                pieces[level, part, middle:end] = right[part, middle:end]
            _join_left(left, start, middle, left[0, middle], left[1, middle], left[2, middle])
            _join_right(right, middle, end, right[0, middle - 1], right[1, middle - 1], right[2, middle - 1])
    return pieces


@serial
def _join_left(pieces, start, stop, n, m, q):
    """Each piece joined with one that follows it."""
    for b in range(start, stop):
        d, whole = m - pieces[1, b], pieces[0, b] + n
        pieces[2, b] = pieces[2, b] + q + d * d * (pieces[0, b] * n / whole)
        pieces[1, b] += d * (n / whole)
        pieces[0, b] = whole


@serial
def _join_right(pieces, start, stop, n, m, q):
    """Each piece joined with one that stands before it."""
    for b in range(start, stop):
        d, whole = pieces[1, b] - m, n + pieces[0, b]
        pieces[2, b] = q + pieces[2, b] + d * d * (n * pieces[0, b] / whole)
        pieces[1, b] = m + d * (pieces[0, b] / whole)
        pieces[0, b] = whole
