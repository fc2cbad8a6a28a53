"""The int32 words of GPTQ's files: codes down the inputs, zero points along the outputs."""

import numpy as np

from refq.grids import arguments_words as arguments
from refq.grids.pack import pack_compressed_tensors, unpack_compressed_tensors


def pack_gptq(q, bits):
    """Codes of a weight to the words `qweight` of a GPTQ file.

    bit i * bits + j of the stream of output o = bit j of q[o, i] + 2**(bits-1)
    packed[w, o] = bits 32 w .. 32 w + 31 of it

    Parameters
        q: integer codes (outputs, inputs), -2**(bits-1) .. 2**(bits-1) - 1.
        bits: int, 2, 3, 4 or 8; inputs * bits is a multiple of 32.
    Returns
        packed: int32 (inputs * bits / 32, outputs).
    Raises
        GridError: another width, or a code that does not fit it.
        ShapeError: q has not two axes, or its inputs do not fill whole words.

    >>> pack_gptq(np.int32([[-8, -7, -8, -8, -8, -8, -8, -8]]), 4)
    array([[16]], dtype=int32)

    Source: read in GPTQModel 7.7.
    Spec: pack_gptq
    """
    q, bits = arguments.matrix("q", q, bits, arguments.GPTQ_BITS)
    arguments.whole_words("q", q.shape[1], bits)
    return np.ascontiguousarray(pack_compressed_tensors(q, bits).T)


def unpack_gptq(packed, bits):
    """The words `qweight` of a GPTQ file to codes.

    q[o, i] = bits i * bits .. i * bits + bits - 1 of the stream of output o, minus 2**(bits-1)

    Parameters
        packed: int32 (words, outputs).
        bits: int, 2, 3, 4 or 8; with 3, words is a multiple of 3.
    Returns
        q: int32 (outputs, 32 * words / bits).
    Raises
        GridError: another width.
        ShapeError: packed has not two axes, or its words cut a code off.

    >>> unpack_gptq(np.int32([[16]]), 4)
    array([[-8, -7, -8, -8, -8, -8, -8, -8]], dtype=int32)

    Source: read in GPTQModel 7.7.
    Spec: unpack_gptq
    """
    packed, bits = arguments.words(packed, np.int32, bits, arguments.GPTQ_BITS)
    inputs = arguments.whole_codes(packed.shape[0], bits)
    return unpack_compressed_tensors(np.ascontiguousarray(packed.T), bits, inputs)


def pack_gptq_zeros(zero_point, bits, version=1):
    """Zero points to the words `qzeros` of a GPTQ file.

    bit o * bits + j of the stream of group g = bit j of v[o, g]
    v = zero_point + 2**(bits-1) in version 2, (zero_point + 2**(bits-1) - 1) mod 2**bits in version 1

    Parameters
        zero_point: integers (outputs, groups), -2**(bits-1) .. 2**(bits-1) - 1.
        bits: int, 2, 3, 4 or 8; outputs * bits is a multiple of 32.
        version: int, 1 (`checkpoint_format` "gptq") or 2 ("gptq_v2").
    Returns
        packed: int32 (groups, outputs * bits / 32).
    Raises
        GridError: another width or version, or a zero point off the grid.
        ShapeError: zero_point has not two axes, or its outputs do not fill whole words.

    >>> pack_gptq_zeros(np.zeros((8, 1), np.int32), 4) == 0x77777777
    array([[ True]])

    Source: read in GPTQModel 7.7.
    Spec: pack_gptq_zeros
    """
    zero_point, bits = arguments.matrix("zero_point", zero_point, bits, arguments.GPTQ_BITS)
    shift = 2 - arguments.one_of("version", version, (1, 2))
    arguments.whole_words("zero_point", zero_point.shape[0], bits)
    stored = _wrapped(zero_point - shift, bits)
    return pack_compressed_tensors(np.ascontiguousarray(stored.T), bits)


def unpack_gptq_zeros(packed, bits, version=1):
    """The words `qzeros` of a GPTQ file to zero points.

    v[o, g] = bits o * bits .. o * bits + bits - 1 of the stream of group g
    zero_point = v - 2**(bits-1) in version 2, (v + 1) mod 2**bits - 2**(bits-1) in version 1

    Parameters
        packed: int32 (groups, words).
        bits: int, 2, 3, 4 or 8; with 3, words is a multiple of 3.
        version: int, 1 (`checkpoint_format` "gptq") or 2 ("gptq_v2").
    Returns
        zero_point: int32 (32 * words / bits, groups).
    Raises
        GridError: another width or version.
        ShapeError: packed has not two axes, or its words cut a zero point off.

    >>> unpack_gptq_zeros(np.int32([[0x77777777]]), 4).tolist()
    [[0], [0], [0], [0], [0], [0], [0], [0]]

    Source: read in GPTQModel 7.7.
    Spec: unpack_gptq_zeros
    """
    packed, bits = arguments.words(packed, np.int32, bits, arguments.GPTQ_BITS)
    shift = 2 - arguments.one_of("version", version, (1, 2))
    stored = unpack_compressed_tensors(packed, bits, arguments.whole_codes(packed.shape[1], bits))
    return np.ascontiguousarray(_wrapped(stored + shift, bits).T)


def _wrapped(q, bits):
    """Numbers modulo 2**bits, as codes: nothing is carried into a neighbour."""
    half = 2 ** (bits - 1)
    return ((q + half) & (2**bits - 1)) - half
