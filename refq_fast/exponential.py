"""exp for kernels: in float32 a polynomial that LLVM turns into vectors, since there is no vector exp to call."""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from refq_fast.kernel import serial, summing

LOG2_E = np.float32(1.4426950408889634)
LN2_HIGH = np.float32(22713 / 32768)  # 15 bits: its product with any exponent is exact
LN2_LOW = np.float32(1.4286068203094172e-06)  # ln 2 - LN2_HIGH
LOWEST, HIGHEST = np.float32(-104), np.float32(89)  # beyond them the result is 0 or infinity
TERMS = tuple(np.float32(1 / f) for f in (5040, 720, 120, 24, 6, 2, 1, 1))  # Taylor: |r|**8 / 8! < 2**-27


def exp(x):
    """exp(x) within 2 units in the last place; NaN, infinities and subnormal results as NumPy has them."""
    raise NotImplementedError("for kernels only")


@overload(exp)
def _choose(x):
    return (lambda x: _exp32(x)) if x == types.float32 else (lambda x: np.exp(x))


@serial
def exp_sum(x, top, y):
    """y = exp(x - top), and its sum."""
    for j in range(len(x)):
        y[j] = exp(x[j] - top)
    return _sum(y)


@summing
def _sum(y):
    """A loop of its own: in one that also writes, the order of the sum would depend on where x and y lie in memory."""
    total = y.dtype.type(0)
    for j in range(len(y)):
        total += y[j]
    return total


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


@intrinsic
def _power_of_two(context, n):
    """2.0**n of an int32 n, -126..127."""

    def generate(context, builder, signature, args):
        kind = ir.IntType(32)
        return builder.bitcast(builder.shl(builder.add(args[0], kind(127)), kind(23)), ir.FloatType())

    return types.float32(types.int32), generate
