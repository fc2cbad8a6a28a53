"""Twins of refq.ops.quantized_matmul, for codes as they are stored."""

import numpy as np

from refq import checks
from refq.ops import arguments
from refq_fast import blas, decoded
from refq_fast.decoded import unpack
from refq_fast.kernel import serial


def quantized_matmul(x, packed, scale, zero_point, bits):
    """Twin of refq.quantized_matmul.

    The weight is unpacked a few rows at a time, each tile multiplied by BLAS while it is in the cache. A PackedWeight
    given to linear is faster up to 4 bits.
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
