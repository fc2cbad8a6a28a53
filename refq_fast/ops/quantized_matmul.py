"""Twins of refq.ops.quantized_matmul, for codes as they are stored."""

import numpy as np

from refq import checks
from refq.ops import arguments
from refq_fast import blas
from refq_fast.kernel import serial

TILE = 2**16  # numbers of an unpacked tile: it stays in a core's second-level cache


def quantized_matmul(x, packed, scale, zero_point, bits):
    """Twin of refq.quantized_matmul.

    The weight is unpacked a few rows at a time, each tile multiplied by BLAS while it is in the cache. A PackedWeight
    given to linear is faster at 4 bits.
    Spec: quantized_matmul
    """
    return product(*_checked(x, packed, scale, zero_point, bits))


def quantized_matmul_vjp(g, x, packed, scale, zero_point, bits):
    """Twin of refq.quantized_matmul_vjp.

    The weight is unpacked as a whole: 4 bytes a code for the time of the call.
    Spec: quantized_matmul_vjp
    """
    x, *weight = _checked(x, packed, scale, zero_point, bits)
    g = arguments.incoming(g, x, (*x.shape[:-1], packed.shape[0]))
    return blas.product(g, dequantized(x.shape[-1], *weight))


def product(x, packed, scale, zero_point, bits):
    """x (..., in) times the transpose of a checked weight."""
    rows = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
    y = np.empty((len(rows), len(packed)), x.dtype)

    def compute(tile):
        w = np.empty((len(packed[tile]), x.shape[-1]), x.dtype)
        _dequantize(packed[tile], scale[tile], zero_point[tile], bits, w)
        np.matmul(rows, w.T, out=y[:, tile])

    blas.each(compute, _tiles(len(packed), x.shape[-1]))
    return y.reshape(*x.shape[:-1], len(packed))


def dequantized(length, packed, scale, zero_point, bits):
    """A checked weight as real numbers (out, length)."""
    w = np.empty((len(packed), length), scale.dtype)

    def compute(tile):
        _dequantize(packed[tile], scale[tile], zero_point[tile], bits, w[tile])

    blas.each(compute, _tiles(*w.shape))
    return w


def _checked(x, packed, scale, zero_point, bits):
    x, packed, scale, zero_point, bits = arguments.quantized_matmul(x, packed, scale, zero_point, bits)
    checks.unused_bits(packed, x.shape[-1] * bits)
    return x, *map(np.ascontiguousarray, (packed, scale, zero_point)), bits


def _tiles(out, length):
    rows = max(1, TILE // length)
    return [slice(first, min(first + rows, out)) for first in range(0, out, rows)]


@serial
def _dequantize(packed, scale, zero_point, bits, w):
    out, length = w.shape
    size = length // scale.shape[1]
    codes = np.empty((length + 7) // 8 * 8, np.int8)
    for row in range(out):
        _unpack(packed[row], bits, codes)
        for group in range(scale.shape[1]):
            s, z = scale[row, group], zero_point[row, group]
            for k in range(group * size, (group + 1) * size):
                w[row, k] = codes[k] - z  # exact in integers, exact in float32
                w[row, k] *= s


@serial
def _unpack(packed, bits, codes):
    """Eight codes fill `bits` whole bytes."""
    half = 1 << (bits - 1)
    for at in range(0, len(codes), 8):
        first = at // 8 * bits
        word = 0
        for i in range(min(bits, len(packed) - first)):
            word |= np.int64(packed[first + i]) << (8 * i)
        for i in range(8):
            code = (word >> (bits * i)) & (2 * half - 1)
            codes[at + i] = (code ^ half) - half
