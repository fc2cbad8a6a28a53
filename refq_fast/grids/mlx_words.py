"""Twins of refq.grids.mlx_words: the kernels of compressed-tensors' words, which are the same."""

import numpy as np

from refq.grids import arguments_words as arguments
from refq_fast.grids.pack import pack_compressed_tensors, unpack_compressed_tensors


def pack_mlx(q, bits):
    """Twin of refq.pack_mlx.

    As pack_compressed_tensors.
    Spec: pack_mlx
    """
    q, bits = arguments.matrix("q", q, bits, arguments.MLX_BITS)
    arguments.whole_words("q", q.shape[1], bits)
    return pack_compressed_tensors(q, bits).view(np.uint32)


def unpack_mlx(packed, bits):
    """Twin of refq.unpack_mlx.

    As unpack_compressed_tensors.
    Spec: unpack_mlx
    """
    packed, bits = arguments.words(packed, np.uint32, bits, arguments.MLX_BITS)
    inputs = arguments.whole_codes(packed.shape[1], bits)
    return unpack_compressed_tensors(np.ascontiguousarray(packed).astype(np.uint32).view(np.int32), bits, inputs)
