"""Twins of refq.grids.matmul_nbits: the kernels of compressed-tensors' words, which are the same bytes."""

import numpy as np

from refq.grids import arguments_words as arguments
from refq_fast.grids.pack import pack_compressed_tensors, unpack_compressed_tensors


def pack_matmul_nbits(q, bits, block_size):
    """Twin of refq.pack_matmul_nbits.

    As pack_compressed_tensors; the codes are copied where the last block has to be filled up.
    Spec: pack_matmul_nbits
    """
    q, bits = arguments.matrix("q", q, bits, arguments.NBITS_BITS)
    size = arguments.block(block_size)
    if q.shape[1] % size:
        q = np.pad(q, [(0, 0), (0, -q.shape[1] % size)], constant_values=-(2 ** (bits - 1)))
    return pack_compressed_tensors(q, bits).view(np.uint8).reshape(len(q), -1, size * bits // 8)


def unpack_matmul_nbits(packed, bits, length):
    """Twin of refq.unpack_matmul_nbits.

    As unpack_compressed_tensors.
    Spec: unpack_matmul_nbits
    """
    stream, bits, length = arguments.blocks(packed, bits, length)
    q = unpack_compressed_tensors(stream.view(np.int32), bits, stream.shape[1] * 8 // bits)
    return np.ascontiguousarray(q[:, :length])
