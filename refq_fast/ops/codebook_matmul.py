"""Twins of refq.ops.codebook_matmul, for indices as they are stored."""

import numpy as np

from refq import checks
from refq.ops import arguments
from refq_fast import blas, decoded
from refq_fast.decoded import unpack
from refq_fast.kernel import serial


def codebook_matmul(x, packed, codebook, bits):
    """Twin of refq.codebook_matmul.

    The weight is looked up a few rows at a time, each tile multiplied while it is in the cache. A CodebookWeight given
    to linear is faster.
    Spec: codebook_matmul
    """
    return product(*_checked(x, packed, codebook, bits))


def codebook_matmul_vjp(g, x, packed, codebook, bits):
    """Twin of refq.codebook_matmul_vjp.

    The weight is looked up as a whole: 4 bytes an index for the time of the call.
    Spec: codebook_matmul_vjp
    """
    x, *weight = _checked(x, packed, codebook, bits)
    g = arguments.incoming(g, x, (*x.shape[:-1], packed.shape[0]))
    return blas.product(g, looked_up(x.shape[-1], *weight))


def product(x, packed, codebook, bits):
    """x (..., in) times the transpose of a checked weight."""
    return decoded.product(x, len(packed), _decoder(packed, codebook, bits))


def looked_up(length, packed, codebook, bits):
    """A checked weight as real numbers (out, length)."""
    return decoded.whole((len(packed), length), codebook.dtype, _decoder(packed, codebook, bits))


def _checked(x, packed, codebook, bits):
    x, packed, codebook, bits = arguments.codebook_matmul(x, packed, codebook, bits)
    checks.unused_bits(packed, x.shape[-1] * bits)
    return x, *map(np.ascontiguousarray, (packed, codebook)), bits


def _decoder(packed, codebook, bits):
    return lambda rows, w: _look_up(packed[rows], codebook[rows if len(codebook) > 1 else slice(1)], bits, w)


@serial
def _look_up(packed, codebook, bits, w):
    out, length = w.shape
    groups, mask = codebook.shape[1], (1 << bits) - 1
    size = length // groups
    codes = np.empty((length + 7) // 8 * 8, np.int8)
    for row in range(out):
        unpack(packed[row], bits, codes)
        for group in range(groups):
            table, part = codebook[row % len(codebook), group], slice(group * size, (group + 1) * size)
            q, real = codes[part], w[row, part]
            for k in range(size):
                real[k] = table[q[k] & mask]
