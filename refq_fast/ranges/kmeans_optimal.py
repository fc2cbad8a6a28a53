"""Twin of refq.ranges.kmeans_optimal: bins, then the best partition of them, then one assignment."""

import numpy as np
from numba import prange

from refq.ranges.arguments import optimal_arguments
from refq_fast.kernel import parallel, serial
from refq_fast.partition import first_bins
from refq_fast.ranges.histogram import countable, histogram
from refq_fast.ranges.linear_mean import as_groups
from refq_fast.ranges.lloyd import assign


def kmeans_optimal(groups, k, bins=65536):
    """Twin of refq.kmeans_optimal.

    Large float32 groups are counted instead of sorted; small groups in parallel; costs in vector lanes.
    Spec: kmeans_optimal
    """
    groups, k, bins = optimal_arguments(groups, k, bins)
    codebook = np.empty((*groups.shape[:-1], k), groups.dtype)
    rows, entries = as_groups(groups), as_groups(codebook)
    if countable(rows, bins):
        for g in range(len(rows)):
            _fit_large(rows[g : g + 1], bins, entries[g : g + 1])
    else:
        _codebooks(*_sorted(rows), bins, entries)
    return codebook, assign(groups, codebook)


def _fit_large(row, bins, entries):
    """Fits a group by its histogram; if that is too coarse by its sorted values."""
    found = histogram(row[0], bins)
    if found:
        _entries(*found, entries[0])
    else:
        _codebooks(*_sorted(row), bins, entries)


def _sorted(rows):
    """Ascending values, and their order-preserving keys."""
    v = np.sort(rows, axis=1)
    v += v.dtype.type(0)  # no -0
    u = v.view(f"u{v.itemsize}")
    sign = u.dtype.type(1 << (8 * v.itemsize - 1))
    return v, np.where(u & sign, ~u, u | sign)


@parallel
def _codebooks(v, key, bins, codebook):
    for g in prange(len(v)):
        _entries(*_bins(v[g], key[g], bins), codebook[g])


@serial
def _bins(v, key, bins):
    """Count and sum of every bin of ascending values."""
    shift, found = -1, bins + 1
    while found > bins:
        shift, found = shift + 1, 1
        for j in range(1, len(key)):
            found += _apart(key[j], key[j - 1], shift)
    count, total, b = np.zeros(found), np.zeros(found), 0
    for j in range(len(key)):
        b += j > 0 and _apart(key[j], key[j - 1], shift)
        count[b] += 1
        total[b] += v[j]
    return count, total


@serial
def _apart(a, b, shift):
    """Whether two keys differ in the bits that are left; a shift by all of them would have no meaning."""
    return (a ^ b) >> type(a)(shift // 2) >> type(a)(shift - shift // 2) != 0


@serial
def _entries(count, total, codebook):
    """The means of the best clusters; the last repeats where there are fewer bins than entries."""
    k = min(len(codebook), len(count))
    first = first_bins(count, total / count, k)
    for c in range(k):
        n, s = 0.0, 0.0
        for b in range(first[c], first[c + 1]):
            n += count[b]
            s += total[b]
        codebook[c] = s / n
    codebook[k:] = codebook[k - 1]
