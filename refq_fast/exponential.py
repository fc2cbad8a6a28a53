"""exp for kernels: in float32 a polynomial that LLVM turns into vectors, since there is no vector exp to call."""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from refq_fast.kernel import serial
from refq_fast.simd import LANES, fma, load_floats, maximum, splat, store, two_to_the, where
from refq_fast.sums import total

LOG2_E = np.float32(1.4426950408889634)
LN2_HIGH = np.float32(22713 / 32768)  # 15 bits: its product with any exponent is exact
LN2_LOW = np.float32(1.4286068203094172e-06)  # ln 2 - LN2_HIGH
LOWEST, HIGHEST = np.float32(-104), np.float32(89)  # beyond them the result is 0 or infinity
VANISHING = np.float32(-88)  # its n is -127
INTEGER = np.float32(1.5 * 2**23)  # a number below 2**22 added to it is rounded to an integer
TERMS = tuple(np.float32(1 / f) for f in (5040, 720, 120, 24, 6, 2, 1, 1))  # Taylor: |r|**8 / 8! < 2**-27


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
    done = _vectors(x, top, scale, y)
    for j in range(done, len(x)):
        y[j] = exp((x[j] - top) * scale)
    return total(y)


def _vectors(x, top, scale, y):
    """Compute whole vectors of them, and give their number."""
    raise NotImplementedError("for kernels only")


@overload(_vectors)
def _choose_vectors(x, top, scale, y):
    if x.dtype != types.float32:
        return lambda x, top, scale, y: 0

    def vectors(x, top, scale, y):
        whole = len(x) // LANES * LANES
        for j in range(0, whole, LANES):
            store(y, j, decay((load_floats(x, j) - splat(top)) * splat(scale)))
        return whole

    return vectors


@serial
def exp_sums(s, top, t, top_t, scale, q, p):
    """q = exp((s - top) * scale), p likewise of t; their sums, and that of p * the difference of t and s, less theirs.

    What has no probability in p adds nothing.
    """
    sums = np.zeros((3, LANES), s.dtype)
    done = _vector_pairs(s, top, t, top_t, scale, q, p, sums.reshape(-1))
    for j in range(done, len(s)):
        near, far = s[j] - top, t[j] - top_t
        q[j], p[j] = exp(near * scale), exp(far * scale)
        sums[0, 0] += q[j]
        sums[1, 0] += p[j]
        sums[2, 0] += p[j] * (far - near) if p[j] != 0 else p[j]
    return total(sums[0]), total(sums[1]), total(sums[2])


def _vector_pairs(s, top, t, top_t, scale, q, p, sums):
    """Compute whole vectors of them, and give their number."""
    raise NotImplementedError("for kernels only")


@overload(_vector_pairs)
def _choose_vector_pairs(s, top, t, top_t, scale, q, p, sums):
    if s.dtype != types.float32:
        return lambda s, top, t, top_t, scale, q, p, sums: 0

    def pairs(s, top, t, top_t, scale, q, p, sums):
        zero, whole = splat(np.float32(0)), len(s) // LANES * LANES
        of_s, of_t, of_both = zero, zero, zero
        for j in range(0, whole, LANES):
            near, far = load_floats(s, j) - splat(top), load_floats(t, j) - splat(top_t)
            e, f = decay(near * splat(scale)), decay(far * splat(scale))
            store(q, j, e)
            store(p, j, f)
            of_s, of_t = of_s + e, of_t + f
            of_both = fma(f, where(f, zero, zero, far - near), of_both)
        store(sums, 0, of_s)
        store(sums, LANES, of_t)
        store(sums, 2 * LANES, of_both)
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
    y = splat(TERMS[0])
    for term in TERMS[1:]:
        y = fma(y, r, splat(term))
    return y * two_to_the(t)


@intrinsic
def _power_of_two(context, n):
    """2.0**n of an int32 n, -126..127."""

    def generate(context, builder, signature, args):
        kind = ir.IntType(32)
        return builder.bitcast(builder.shl(builder.add(args[0], kind(127)), kind(23)), ir.FloatType())

    return types.float32(types.int32), generate
