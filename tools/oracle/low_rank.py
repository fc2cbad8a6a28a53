"""Low-rank error correction, exactly as SPEC.md rounds it."""

from fractions import Fraction

from tools.oracle.numbers import Array, rounded, rows


def low_rank_init(shape, rank, draws):
    out, inputs = shape
    root = _root(inputs)
    low = [rounded(rounded(rounded(2 * d - 1, "float64") / root, "float64")) for d in draws.data]
    return [Array("float32", (rank, inputs), low), Array("float32", (out, rank), [Fraction(0)] * (out * rank))]


def low_rank_merge(w, low, high, scaling):
    scaling, data = rounded(Fraction(scaling), "float64"), []
    for row, column in zip(rows(w), rows(high), strict=True):
        for j, v in enumerate(row):
            total = Fraction(0)
            for h, part in zip(column, rows(low), strict=True):
                total = rounded(total + rounded(h * part[j], "float64"), "float64")
            data.append(rounded(rounded(v + rounded(scaling * total, "float64"), "float64")))
    return Array(w.dtype, w.shape, data)


def _root(n):
    """The square root in float64."""
    from math import isqrt

    return rounded(Fraction(isqrt(n << 300), 1 << 150), "float64")
