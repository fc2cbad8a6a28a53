"""Twins of refq.ops.quantized_matmul, for codes as they are stored."""

import numpy as np
from numba import prange

from refq import checks
from refq.ops import arguments
from refq_fast import blas, decoded
from refq_fast.decoded import unpack
from refq_fast.kernel import parallel, serial
from refq_fast.stored_rows import of_bytes

FEW = 4  # rows of x up to which each is multiplied by itself
TASK = 2**16  # codes of a task, at least


def quantized_matmul(x, packed, scale, zero_point, bits):
    """Twin of refq.quantized_matmul.

    The weight is unpacked a few rows at a time, each tile multiplied while it is in the cache; few rows of x
    meet each row of the weight as soon as it is codes. A PackedWeight given to linear is faster up to 4 bits.
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
    rows = x.reshape(-1, x.shape[-1])
    if len(rows) <= FEW and x.dtype == np.float32:
        y = np.empty((len(rows), len(packed)), np.float32)
        _few_rows(packed, scale, zero_point, bits, np.ascontiguousarray(rows), y)
        return y.reshape(*x.shape[:-1], len(packed))
    return decoded.product(x, len(packed), _decoder(packed, scale, zero_point, bits))


def dequantized(length, packed, scale, zero_point, bits):
    """A checked weight as real numbers (out, length)."""
    return decoded.whole((len(packed), length), scale.dtype, _decoder(packed, scale, zero_point, bits))


def _checked(x, packed, scale, zero_point, bits):
    x, packed, scale, zero_point, bits = arguments.quantized_matmul(x, packed, scale, zero_point, bits)
    checks.unused_bits(packed, x.shape[-1] * bits)
    return x, *map(np.ascontiguousarray, (packed, scale, zero_point)), bits


def _decoder(packed, scale, zero_point, bits):
    return lambda rows, w: _dequantize(packed[rows], scale[rows], zero_point[rows], bits, w)


@parallel
def _few_rows(packed, scale, zero_point, bits, x, y):
    chunk = max(1, TASK // x.shape[1])
    for task in prange((len(packed) + chunk - 1) // chunk):
        room = np.empty((x.shape[1] + 7) // 8 * 8, np.int8)
        for row in range(task * chunk, min(task * chunk + chunk, len(packed))):
            codes = room
            if bits == 8:
                codes = packed[row].view(np.int8)
            else:
                unpack(packed[row], bits, room)
            for i in range(len(x)):
                of_bytes(codes, scale[row : row + 1], zero_point[row : row + 1], x[i], y[i, row : row + 1], 0, 1)


@serial
def _dequantize(packed, scale, zero_point, bits, w):
    out, length = w.shape
    size = length // scale.shape[1]
    codes = np.empty((length + 7) // 8 * 8, np.int8)
    for row in range(out):
        unpack(packed[row], bits, codes)
        for group in range(scale.shape[1]):
            s, z = scale[row, group], w.dtype.type(zero_point[row, group])
            part = slice(group * size, (group + 1) * size)
            q, real = codes[part], w[row, part]
            for k in range(size):
                real[k] = (w.dtype.type(q[k]) - z) * s  # the difference is exact
