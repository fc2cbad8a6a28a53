"""Twins of refq.grids.gptq_words: the kernels of compressed-tensors' words, turned."""

import numpy as np

from refq.grids import arguments_words as arguments
from refq_fast.grids.pack import pack_compressed_tensors, unpack_compressed_tensors


def pack_gptq(q, bits):
    """Twin of refq.pack_gptq.

    As pack_compressed_tensors, then one copy of the words.
    Spec: pack_gptq
    """
    q, bits = arguments.matrix("q", q, bits, arguments.GPTQ_BITS)
    arguments.whole_words("q", q.shape[1], bits)
    return np.ascontiguousarray(pack_compressed_tensors(q, bits).T)


def unpack_gptq(packed, bits):
    """Twin of refq.unpack_gptq.

    As unpack_compressed_tensors, after one copy of the words.
    Spec: unpack_gptq
    """
    packed, bits = arguments.words(packed, np.int32, bits, arguments.GPTQ_BITS)
    inputs = arguments.whole_codes(packed.shape[0], bits)
    return unpack_compressed_tensors(np.ascontiguousarray(packed.T), bits, inputs)
