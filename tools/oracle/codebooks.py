"""Codebooks that are fitted, in exact arithmetic, rounded to float64 where SPEC.md says so."""

from fractions import Fraction

from tools.oracle.numbers import Array, rounded, rows


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
        members, total = [v for v, j in zip(x, index, strict=True) if j == i], Fraction(0)
        for v in members:
            total = _double(total + v)
        means[i] = _double(total / len(members))
    return means
