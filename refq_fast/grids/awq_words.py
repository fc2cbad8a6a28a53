"""Twins of refq.grids.awq_words: the kernels of compressed-tensors' words on reordered codes."""

import numpy as np

from refq.grids import arguments_words as arguments
from refq.grids.awq_words import BITS, ORDER, nibbles
from refq_fast.grids.pack import pack_compressed_tensors, unpack_compressed_tensors


def pack_awq(q):
    """Twin of refq.pack_awq.

    One copy of the codes, then as pack_compressed_tensors.
    Spec: pack_awq
    """
    q, _ = arguments.matrix("q", q, BITS, (BITS,))
    arguments.whole_words("q", q.shape[0], BITS)
    return pack_compressed_tensors(nibbles(q.T, ORDER), BITS)


def unpack_awq(packed):
    """Twin of refq.unpack_awq.

    As unpack_compressed_tensors, then one copy of the codes.
    Spec: unpack_awq
    """
    packed, _ = arguments.words(packed, np.int32, BITS, (BITS,))
    stored = unpack_compressed_tensors(packed, BITS, 8 * packed.shape[1])
    return np.ascontiguousarray(nibbles(stored, np.argsort(ORDER)).T)
