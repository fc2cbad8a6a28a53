"""Rows of a weight as it is stored, float32 or codes of 8 bits, times one row of x: for callers that are compiled.

Serial; rows first..last-1 of a weight whose rows lie one after the other, each as long as x.
"""

import numpy as np

from refq_fast.kernel import inlined, serial
from refq_fast.simd import LANES, fma, load_floats, splat
from refq_fast.simd_integers import prefetch
from refq_fast.simd_tables import across

AHEAD = 160  # cache lines: the processor is told of them 10 KB before they are needed


@serial
def of_reals(w, x, y, first, last):
    """w: flat float32."""
    length = len(x)
    whole = length // LANES * LANES
    for i in range(first, last):
        total = across(_lanes(w, i * length, np.float32(0), x, 0, whole))
        for k in range(whole, length):
            total += w[i * length + k] * x[k]
        y[i] = total


@serial
def of_bytes(codes, scale, zero_point, x, y, first, last):
    """codes: flat int8; scale float32, zero_point any numbers (rows, groups)."""
    size = len(x) // scale.shape[1]
    if size == 32:  # constants of the call, so that it gets a loop of its own
        _of_groups(codes, scale, zero_point, x, y, (first, last), 32, 1)
    elif size % 32 == 0:
        _of_groups(codes, scale, zero_point, x, y, (first, last), 32, size // 32)
    else:
        _of_groups(codes, scale, zero_point, x, y, (first, last), size, 1)


@inlined
def _of_groups(codes, scale, zero_point, x, y, rows, size, parts):
    """Groups are so many parts of this size."""
    length, whole = len(x), size // LANES * LANES
    for i in range(*rows):
        total, rest = splat(np.float32(0)), np.float32(0)
        for group in range(scale.shape[1]):
            step, z = scale[i, group], np.float32(zero_point[i, group])
            for start in range(group * parts * size, (group + 1) * parts * size, size):
                at = i * length + start
                total = fma(_lanes(codes, at, z, x, start, whole), splat(step), total)
                for k in range(whole, size):
                    rest += (np.float32(codes[at + k]) - z) * step * x[start + k]
        y[i] = across(total) + rest


@inlined
def _lanes(w, at, zero, x, first, count):
    """Sums of products of w - zero that lie LANES apart, in a vector."""
    a = b = c = d = splat(np.float32(0))
    zeros = splat(zero)
    step, line = 4 * LANES, 64 // w.itemsize
    most = count // step * step
    for k in range(0, most, step):
        for ahead in range(0, step, line):
            prefetch(w, at + k + ahead + AHEAD * line)
        a = fma(load_floats(w, at + k) - zeros, load_floats(x, first + k), a)
        b = fma(load_floats(w, at + k + LANES) - zeros, load_floats(x, first + k + LANES), b)
        c = fma(load_floats(w, at + k + 2 * LANES) - zeros, load_floats(x, first + k + 2 * LANES), c)
        d = fma(load_floats(w, at + k + 3 * LANES) - zeros, load_floats(x, first + k + 3 * LANES), d)
    for k in range(most, count, LANES):
        prefetch(w, at + k + AHEAD * line)
        a = fma(load_floats(w, at + k) - zeros, load_floats(x, first + k), a)
    return (a + b) + (c + d)
