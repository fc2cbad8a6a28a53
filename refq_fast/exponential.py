"""exp for kernels: in float32 a polynomial that LLVM turns into vectors, since there is no vector exp to call."""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from refq_fast.kernel import serial
from refq_fast.simd import LANES, fma, load_floats, maximum, splat, store, two_to_the, where
from refq_fast.simd_integers import prefetch
from refq_fast.streams import stream
from refq_fast.sums import total

LOG2_E = np.float32(1.4426950408889634)
LN2_HIGH = np.float32(22713 / 32768)  # 15 bits: its product with any exponent is exact
LN2_LOW = np.float32(1.4286068203094172e-06)  # ln 2 - LN2_HIGH
LOWEST, HIGHEST = np.float32(-104), np.float32(89)  # beyond them the result is 0 or infinity
VANISHING = np.float32(-88)  # its n is -127
INTEGER = np.float32(1.5 * 2**23)  # a number below 2**22 added to it is rounded to an integer
TERMS = tuple(np.float32(1 / f) for f in (5040, 720, 120, 24, 6, 2, 1, 1))  # Taylor: |r|**8 / 8! < 2**-27
# 1 + r + r * r * (C2 + C3 r + ..) of the least largest error relative to exp(r), 2**-28, for |r| <= ln 2 / 2
C2, C3, C4 = np.float32(0.49999993451), np.float32(0.166665206791), np.float32(0.0416683874878)
C5, C6 = np.float32(0.00836871112901), np.float32(0.00138146105581)
AHEAD = 4096  # numbers: how far in front of its reading memory is asked for


def largest(x):
    """The largest number of a row that is contiguous; any number where there is a NaN."""
    raise NotImplementedError("for kernels only")


def exp(x):
    """exp(x) within 2 units in the last place; NaN, infinities and subnormal results as NumPy has them."""
    raise NotImplementedError("for kernels only")


@overload(exp)
def _choose(x):
    return (lambda x: _exp32(x)) if x == types.float32 else (lambda x: np.exp(x))


@overload(largest)
def _choose_largest(x):
    if x.dtype != types.float32:
        return lambda x: x.max()

    def vectors(x):
        tops, whole = np.full(2 * LANES, x[0], np.float32), len(x) // (2 * LANES) * (2 * LANES)
        even, odd = load_floats(tops, 0), load_floats(tops, LANES)
        for j in range(0, whole, 2 * LANES):
            even, odd = maximum(load_floats(x, j), even), maximum(load_floats(x, j + LANES), odd)
        store(tops, 0, maximum(even, odd))
        top = tops[0]
        for i in range(1, LANES):
            top = max(top, tops[i])
        for j in range(whole, len(x)):
            top = max(top, x[j])
        return top

    return vectors


@serial
def exp_sum(x, top, y):
    """y = exp(x - top), and its sum."""
    return scaled_exp_sum(x, top, x.dtype.type(1), y)


@serial
def scaled_exp_sum(x, top, scale, y):
    """y = exp((x - top) * scale) of contiguous rows, and its sum; top is the largest x, and scale above 0."""
    lanes = np.zeros(LANES, y.dtype)
    for j in range(_vectors(x, top, scale, y, lanes), len(x)):
        y[j] = exp((x[j] - top) * scale)
        lanes[0] += y[j]
    return total(lanes)


def _vectors(x, top, scale, y, lanes):
    """Compute whole vectors of them, and give their number."""
    raise NotImplementedError("for kernels only")


@overload(_vectors)
def _choose_vectors(x, top, scale, y, lanes):
    if x.dtype != types.float32:
        return lambda x, top, scale, y, lanes: 0

    def vectors(x, top, scale, y, lanes):
        whole, sums = len(x) // LANES * LANES, splat(np.float32(0))
        for j in range(0, whole, LANES):
            prefetch(x, len(x) + j)  # of the next row, most often
            e = decay((load_floats(x, j) - splat(top)) * splat(scale))
            store(y, j, e)
            sums = sums + e
        store(lanes, 0, sums)
        return whole

    return vectors


@serial
def exp_pair(x, places, length, numbers, e, y, far, sums):
    """e = exp((x - top) * sharpness) for a row of student and teacher; before that, what e was gives another row of y.

    It also looks at the row after. One loop for all of it: the processor computes while it waits for memory.

    Parameters
        x: student and teacher, flat arrays of rows of `length`.
        places: where in x the row begins, where the one after it does, and where the one of y.
        numbers: sharpness, the tops of both, which are the largest numbers of the row, and shares a, b.
        e: flat, two rows, the second begins with the second half.
        y: a row of it becomes a * e of the student - b * e of the teacher, e of before the call.
        far: whether y is stored around the caches.
        sums: (5, LANES), for work.
    Returns
        the sums of both new e, and of the teacher's e times the difference of both x less their tops, to which what has
        no probability adds nothing; and the tops of the row after.
    """
    s, t = x
    at, after, before = places
    wide, (sharpness, top_s, top_t, a, b) = e.size // 2, numbers
    sums[:3] = 0
    sums[3], sums[4] = s[after], t[after]
    for j in range(_vector_pairs(x, places, length, numbers, e, y, far, sums.reshape(-1)), length):
        y[before + j] = e[j] * a - e[wide + j] * b
        u, v = s[at + j] - top_s, t[at + j] - top_t
        e[j], e[wide + j] = exp(u * sharpness), exp(v * sharpness)
        sums[0, 0] += e[j]
        sums[1, 0] += e[wide + j]
        sums[2, 0] += e[wide + j] * (v - u) if e[wide + j] != 0 else e[wide + j]
        sums[3, 0], sums[4, 0] = max(sums[3, 0], s[after + j]), max(sums[4, 0], t[after + j])
    return total(sums[0]), total(sums[1]), total(sums[2]), sums[3].max(), sums[4].max()


def _vector_pairs(x, places, length, numbers, e, y, far, sums):
    """Compute whole vectors of them, and give their number."""
    raise NotImplementedError("for kernels only")


@overload(_vector_pairs)
def _choose_vector_pairs(x, places, length, numbers, e, y, far, sums):
    if e.dtype != types.float32:
        return lambda x, places, length, numbers, e, y, far, sums: 0

    def pairs(x, places, length, numbers, e, y, far, sums):
        s, t = x
        at, after, before = places
        whole, wide, zero = length // LANES * LANES, e.size // 2, splat(np.float32(0))
        scale, top_s, top_t = splat(numbers[0]), splat(numbers[1]), splat(numbers[2])
        a, b = splat(numbers[3]), splat(numbers[4])
        of_s, of_t, of_both = zero, zero, zero
        next_s, next_t = load_floats(sums, 3 * LANES), load_floats(sums, 4 * LANES)
        for j in range(0, whole, LANES):
            prefetch(s, after + j + AHEAD)
            prefetch(t, after + j + AHEAD)
            next_s, next_t = maximum(load_floats(s, after + j), next_s), maximum(load_floats(t, after + j), next_t)
            stream(y, before + j, load_floats(e, j) * a - load_floats(e, wide + j) * b, far)
            u, v = load_floats(s, at + j) - top_s, load_floats(t, at + j) - top_t
            q, p = decay(u * scale), decay(v * scale)
            store(e, j, q)
            store(e, wide + j, p)
            of_s, of_t = of_s + q, of_t + p
            of_both = fma(p, where(p, zero, zero, v - u), of_both)
        store(sums, 0, of_s)
        store(sums, LANES, of_t)
        store(sums, 2 * LANES, of_both)
        store(sums, 3 * LANES, next_s)
        store(sums, 4 * LANES, next_t)
        return whole

    return pairs


@serial
def _exp32(x):
    inside = min(max(x, LOWEST), HIGHEST)
    n = np.rint(inside * LOG2_E)
    r = (inside - n * LN2_HIGH) - n * LN2_LOW
    y = TERMS[0]
    for term in TERMS[1:]:
        y = y * r + term
    half = np.int32(n) >> np.int32(1)  # 2**n alone may be subnormal or infinite where y * 2**n is not
    y = y * _power_of_two(half) * _power_of_two(np.int32(np.int32(n) - half))
    return y if x == x else x


@serial
def decay(x):
    """exp(x) of a vector of float32 that are at most 0, within 2 units; what would be subnormal is 0. NaN stays NaN."""
    x = maximum(splat(VANISHING), x)
    t = fma(x, splat(LOG2_E), splat(INTEGER))
    n = t - splat(INTEGER)
    r = fma(n, splat(-LN2_LOW), fma(n, splat(-LN2_HIGH), x))
    square = r * r  # a chain of products for each power would be twice as long
    low, high = fma(r, splat(C3), splat(C2)), fma(square, splat(C6), fma(r, splat(C5), splat(C4)))
    return fma(square, fma(square, high, low), r + splat(np.float32(1))) * two_to_the(t)


@intrinsic
def _power_of_two(context, n):
    """2.0**n of an int32 n, -126..127."""

    def generate(context, builder, signature, args):
        kind = ir.IntType(32)
        return builder.bitcast(builder.shl(builder.add(args[0], kind(127)), kind(23)), ir.FloatType())

    return types.float32(types.int32), generate
