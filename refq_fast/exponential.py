"""exp for kernels: in float32 a polynomial that LLVM turns into vectors, since there is no vector exp to call."""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from refq_fast.kernel import serial
from refq_fast.simd import LANES, fma, load_floats, maximum, splat, store, two_to_the
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
def _as_integers(x):
    kind = np.int32 if x.dtype == types.float32 else np.int64
    last, rest = kind(np.iinfo(kind).bits - 1), kind(np.iinfo(kind).max)
    return lambda x: _as_float(_largest(x.view(kind), last, rest))


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
def mean_distance(p, whole, t, top_t, s, top_s, terms):
    """Sum of p / whole * the difference of two rows, each less its largest; what has no probability adds nothing.

    terms: room for a row. In a loop of their own: where sums may be reordered, the largest would be taken off last.
    """
    for j in range(len(p)):
        terms[j] = p[j] * ((t[j] - top_t) - (s[j] - top_s)) if p[j] != 0 else p[j]
    return total(terms) / whole


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
def _largest(bits, last, rest):
    """Bits of floats are integers in the order of the floats once those below 0 are turned round: a loop of vectors."""
    top = bits[0] ^ ((bits[0] >> last) & rest)
    for j in range(1, len(bits)):
        top = max(top, bits[j] ^ ((bits[j] >> last) & rest))
    return bits.dtype.type(top ^ ((top >> last) & rest))  # Numba computes with 64 bits


@intrinsic
def _as_float(context, bits):
    """The float of the same bits."""
    wide = bits == types.int64

    def generate(context, builder, signature, args):
        return builder.bitcast(args[0], ir.DoubleType() if wide else ir.FloatType())

    return (types.float64 if wide else types.float32)(bits), generate


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
