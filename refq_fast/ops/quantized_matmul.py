"""Twins of refq.ops.quantized_matmul, for codes as they are stored."""

import functools

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
    dequantize = _dequantizer(bits)

    def compute(tile):
        w = np.empty((len(packed[tile]), x.shape[-1]), x.dtype)
        dequantize(packed[tile], scale[tile], zero_point[tile], w)
        np.matmul(rows, w.T, out=y[:, tile])

    blas.each(compute, _tiles(len(packed), x.shape[-1]))
    return y.reshape(*x.shape[:-1], len(packed))


def dequantized(length, packed, scale, zero_point, bits):
    """A checked weight as real numbers (out, length)."""
    w = np.empty((len(packed), length), scale.dtype)
    dequantize = _dequantizer(bits)

    def compute(tile):
        dequantize(packed[tile], scale[tile], zero_point[tile], w[tile])

    blas.each(compute, _tiles(*w.shape))
    return w


def _checked(x, packed, scale, zero_point, bits):
    x, packed, scale, zero_point, bits = arguments.quantized_matmul(x, packed, scale, zero_point, bits)
    checks.unused_bits(packed, x.shape[-1] * bits)
    return x, *map(np.ascontiguousarray, (packed, scale, zero_point)), bits


def _tiles(out, length):
    rows = max(1, TILE // length)
    return [slice(first, min(first + rows, out)) for first in range(0, out, rows)]


@functools.cache
def _dequantizer(bits):
    """The kernel for codes of this width, a constant for the compiler."""
    half = 1 << (bits - 1)

    @serial
    def dequantize(packed, scale, zero_point, w):
        out, length = w.shape
        size = length // scale.shape[1]
        codes = np.empty((length + 7) // 8 * 8, np.int8)
        for row in range(out):
            unpack(packed[row], codes)
            for group in range(scale.shape[1]):
                s, z = scale[row, group], w.dtype.type(zero_point[row, group])
                part = slice(group * size, (group + 1) * size)
                q, real = codes[part], w[row, part]
                for k in range(size):
                    real[k] = (w.dtype.type(q[k]) - z) * s  # the difference is exact

    @serial
    def unpack(packed, codes):
        whole = len(packed) // bits
        for block in range(whole):  # eight codes fill `bits` whole bytes
            eight(packed[block * bits :], bits, codes[block * 8 :])
        if whole * 8 < len(codes):
            eight(packed[whole * bits :], len(packed) - whole * bits, codes[whole * 8 :])

    @serial
    def eight(packed, count, codes):
        word = np.int64(0)
        for i in range(count):
            word |= np.int64(packed[i]) << (8 * i)
        for i in range(8):
            codes[i] = (((word >> (bits * i)) & (2 * half - 1)) ^ half) - half

    return dequantize
