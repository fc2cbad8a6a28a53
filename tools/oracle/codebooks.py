"""Codebooks that are fitted, in exact arithmetic, rounded to float64 where SPEC.md says so."""

import itertools
import struct
from fractions import Fraction

from tools.oracle.numbers import Array, nearest_even, rounded, rows


def linear_mean(groups, bits):
    bins = 2**bits

    def fit(x):
        lo, hi = min(x), max(x)
        if lo == hi:
            return [lo] * bins, [0] * len(x)
        index = [min(int(_double(_double(_double(v - lo) * bins) / _double(hi - lo))), bins - 1) for v in x]
        middle = [_between(lo, hi, i + Fraction(1, 2), bins) for i in range(bins)]
        return _means(x, index, middle), index

    return _each(groups, fit)


def linear_round(groups, bits):
    steps = 2**bits - 1

    def fit(x):
        lo, hi = min(x), max(x)
        if lo == hi:
            return [lo] * (steps + 1), [0] * len(x)
        index = [nearest_even(_double(_double(_double(v - lo) * steps) / _double(hi - lo))) for v in x]
        return [_between(lo, hi, i, steps) for i in range(steps + 1)], index

    return _each(groups, fit)


def quantile_codebook(groups, bits):
    def quantile(x, i):
        place = (len(x) - 1) * Fraction(2 * i + 1, 2 ** (bits + 1))
        j = int(place)
        step = _double(x[min(j + 1, len(x) - 1)] - x[j])
        return rounded(_double(x[j] + _double((place - j) * step)), groups.dtype)

    def fit(x):
        codebook = [quantile(sorted(x), i) for i in range(2**bits)]
        return codebook, _nearest(x, codebook)

    return _each(groups, fit)


def kmeans_plus_plus_init(groups, k, draws):
    def fit(x, u):
        codebook = [x[int(_double(u[0] * len(x)))]]
        for c in range(1, k):
            distance = [min(_double(_double(v - entry) ** 2) for entry in codebook) for v in x]
            reached = list(itertools.accumulate(distance, lambda s, d: _double(s + d)))
            beyond = [j for j, s in enumerate(reached) if s > _double(u[c] * reached[-1])]
            drawn = beyond[0] if beyond else len(x) - 1
            codebook.append(x[drawn] if reached[-1] else codebook[-1])
        return codebook

    data = [v for x, u in zip(rows(groups), rows(draws), strict=True) for v in fit(x, u)]
    return Array(groups.dtype, (*groups.shape[:-1], k), data)


def lloyd_step(groups, codebook):
    tables = iter(rows(codebook))

    def fit(x):
        table = next(tables)
        index = _nearest(x, table)
        return _means(x, index, table), index

    return _each(groups, fit)


def lloyd(groups, codebook, iterations=3):
    for _ in range(iterations):
        codebook, _ = lloyd_step(groups, codebook)
    return [codebook, lloyd_step(groups, codebook)[1]]


def kmeans_optimal(groups, k, bins=65536):
    """Costs are exact; the first of equal partitions is that of SPEC.md, found over all of them."""

    def fit(x):
        cells = _cells(x, bins, groups.dtype)
        first = _best_starts(cells, min(k, len(cells)))
        means = []
        for start, stop in itertools.pairwise([*first, len(cells)]):
            total = Fraction(0)
            for cell in cells[start:stop]:
                total = _double(total + _sum(cell))
            means.append(rounded(_double(total / sum(map(len, cells[start:stop]))), groups.dtype))
        codebook = means + means[-1:] * (k - len(means))
        return codebook, _nearest(x, codebook)

    return _each(groups, fit)


def _cells(x, bins, dtype):
    """The values of each bin, ascending."""
    keyed = sorted((_key(v, dtype), v) for v in x)
    shift = 0
    while len({key >> shift for key, _ in keyed}) > bins:
        shift += 1
    return [[v for _, v in cell] for _, cell in itertools.groupby(keyed, lambda pair: pair[0] >> shift)]


def _key(value, dtype):
    """Place of a number among those of its format: float bits read as an integer, mirrored below 0."""
    size, letters = (32, "<fI") if dtype == "float32" else (64, "<dQ")
    bits = struct.unpack("<" + letters[2], struct.pack(letters[:2], float(abs(value))))[0]
    return 2 ** (size - 1) + bits if value >= 0 else 2 ** (size - 1) - 1 - bits


def _best_starts(cells, k):
    """The first cell of each cluster of the cheapest partition; of equal ones the last clusters begin first."""
    n = [0, *itertools.accumulate(len(cell) for cell in cells)]
    mean = [_double(_sum(cell) / len(cell)) for cell in cells]
    s = [0, *itertools.accumulate(len(cell) * m for cell, m in zip(cells, mean, strict=True))]
    q = [0, *itertools.accumulate(len(cell) * m * m for cell, m in zip(cells, mean, strict=True))]

    def cost(i, j):
        return q[j] - q[i] - (s[j] - s[i]) ** 2 / Fraction(n[j] - n[i])

    best = {(1, j): (cost(0, j), (0,)) for j in range(1, len(cells) + 1)}
    for c in range(2, k + 1):
        for j in range(c, len(cells) + 1):
            i = min(range(c - 1, j), key=lambda i: best[c - 1, i][0] + cost(i, j))  # of equal ones the first
            best[c, j] = best[c - 1, i][0] + cost(i, j), (*best[c - 1, i][1], i)
    return best[k, len(cells)][1]


def _each(groups, fit):
    """Codebook and index of every group."""
    found = [fit(row) for row in rows(groups)]
    lead, dtype = groups.shape[:-1], groups.dtype
    entries = [rounded(entry, dtype) for codebook, _ in found for entry in codebook]
    codebook = Array(dtype, (*lead, len(found[0][0])), entries)
    return [codebook, Array("uint8", groups.shape, [i for _, index in found for i in index])]


def _double(value):
    return rounded(value, "float64")


def _between(lo, hi, i, steps):
    return _double(_double(_double(lo * (steps - i)) + _double(hi * i)) / steps)


def _means(x, index, entries):
    """The mean of each entry's members; the entry itself where there are none."""
    means = list(entries)
    for i in set(index):
        members = [v for v, j in zip(x, index, strict=True) if j == i]
        means[i] = _double(_sum(members) / len(members))
    return means


def _sum(values):
    total = Fraction(0)
    for v in values:
        total = _double(total + v)
    return total


def _nearest(x, codebook):
    """The entry at the least distance, of equal ones the first."""
    return [min(range(len(codebook)), key=lambda i: abs(v - codebook[i])) for v in x]
