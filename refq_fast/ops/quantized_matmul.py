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
    rows = blas.laid_out(x).reshape(-1, x.shape[-1])
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
            s, z = scale[row, group], w.dtype.type(zero_point[row, group])
            part = slice(group * size, (group + 1) * size)
            q, real = codes[part], w[row, part]
            for k in range(size):
                real[k] = (w.dtype.type(q[k]) - z) * s  # the difference is exact


@serial
def _unpack(packed, bits, codes):
    """Codes of one row: the width is a constant of each call, so that each gets a loop of its own."""
    if bits == 2:
        _eights(packed, 2, codes)
    elif bits == 3:
        _eights(packed, 3, codes)
    elif bits == 4:
        _eights(packed, 4, codes)
    elif bits == 5:
        _eights(packed, 5, codes)
    elif bits == 6:
        _eights(packed, 6, codes)
    elif bits == 7:
        _eights(packed, 7, codes)
    else:
        _eights(packed, 8, codes)


@serial
def _eights(packed, bits, codes):
    whole = len(packed) // bits
    for block in range(whole):  # eight codes fill `bits` whole bytes
        _eight(packed[block * bits :], bits, bits, codes[block * 8 :])
    if whole * 8 < len(codes):
        _eight(packed[whole * bits :], len(packed) - whole * bits, bits, codes[whole * 8 :])


@serial
def _eight(packed, count, bits, codes):
    half, word = 1 << (bits - 1), np.int64(0)
    for i in range(count):
        word |= np.int64(packed[i]) << (8 * i)
    for i in range(8):
        codes[i] = (((word >> (bits * i)) & (2 * half - 1)) ^ half) - half
