"""The int32 words of AWQ's GEMM files: eight outputs a word, the even ones first."""

import numpy as np

from refq.grids import arguments_words as arguments
from refq.grids.pack import pack_compressed_tensors, unpack_compressed_tensors

ORDER = (0, 2, 4, 6, 1, 3, 5, 7)  # the output, of eight, that each nibble of a word holds
BITS = 4


def pack_awq(q):
    """Codes of 4 bits to the words of an AWQ GEMM file: `qweight`, and `qzeros` of zero points.

    bits 4 k .. 4 k + 3 of packed[i, c] = q[8 c + order[k], i] + 8,  order = 0, 2, 4, 6, 1, 3, 5, 7

    Parameters
        q: integer codes (outputs, inputs), or zero points (outputs, groups), -8 .. 7; outputs is a multiple of 8.
    Returns
        packed: int32 (inputs or groups, outputs / 8).
    Raises
        GridError: a code outside -8 .. 7.
        ShapeError: q has not two axes, or its outputs do not fill whole words.

    >>> pack_awq(np.int32([[-8], [-7], [-8], [-8], [-8], [-8], [-8], [-8]]))  # output 1 is in nibble 4
    array([[65536]], dtype=int32)

    Source: AutoAWQ 0.2.9, read.
    Spec: pack_awq
    """
    q, _ = arguments.matrix("q", q, BITS, (BITS,))
    arguments.whole_words("q", q.shape[0], BITS)
    return pack_compressed_tensors(nibbles(q.T, ORDER), BITS)


def unpack_awq(packed):
    """The words of an AWQ GEMM file to codes of 4 bits, or to zero points.

    q[8 c + order[k], i] = bits 4 k .. 4 k + 3 of packed[i, c], minus 8

    Parameters
        packed: int32 (inputs or groups, words).
    Returns
        q: int32 (8 * words, inputs or groups).
    Raises
        ShapeError: packed has not two axes.

    >>> unpack_awq(np.int32([[65536]])).T
    array([[-8, -7, -8, -8, -8, -8, -8, -8]], dtype=int32)

    Source: AutoAWQ 0.2.9, read.
    Spec: unpack_awq
    """
    packed, _ = arguments.words(packed, np.int32, BITS, (BITS,))
    stored = unpack_compressed_tensors(packed, BITS, 8 * packed.shape[1])
    return np.ascontiguousarray(nibbles(stored, np.argsort(ORDER)).T)


def nibbles(q, order):
    """Columns of q (n, m), each run of eight in another order."""
    return q.reshape(len(q), q.shape[1] // 8, 8)[..., list(order)].reshape(q.shape)
