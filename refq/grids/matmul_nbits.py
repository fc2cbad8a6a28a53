"""The bytes of ONNX Runtime's operator com.microsoft.MatMulNBits: weights in blocks, and their zero points."""

import numpy as np

from refq import checks
from refq.grids import arguments_words as arguments
from refq.grids.pack import as_codes, pack_codes, unpack_codes


def pack_matmul_nbits(q, bits, block_size):
    """Codes of a weight to input B of MatMulNBits.

    bit i * bits + j of the bytes of block b = bit j of q[o, b * block_size + i] + 2**(bits-1);  0 after the last input

    Parameters
        q: integer codes (outputs, inputs), -2**(bits-1) .. 2**(bits-1) - 1.
        bits: int, 2, 4 or 8.
        block_size: int, a power of two from 16 on; it need not divide inputs.
    Returns
        packed: uint8 (outputs, ceil(inputs / block_size), block_size * bits / 8).
    Raises
        GridError: another width or block size, or a code that does not fit.
        ShapeError: q has not two axes.

    >>> pack_matmul_nbits(np.int32([[-7, 7, -8, 1]]), 4, 16)
    array([[[241, 144,   0,   0,   0,   0,   0,   0]]], dtype=uint8)

    Source: ONNX Runtime's description of the operator; run on all widths.
    Spec: pack_matmul_nbits
    """
    q, bits = arguments.matrix("q", q, bits, arguments.NBITS_BITS)
    size, half = arguments.block(block_size), 2 ** (bits - 1)
    filled = np.pad(q, [(0, 0), (0, -q.shape[1] % size)], constant_values=-half)
    return pack_codes(as_codes((filled + half).astype(np.uint8), bits), bits).reshape(len(q), -1, size * bits // 8)


def unpack_matmul_nbits(packed, bits, length):
    """Input B of MatMulNBits to codes.

    q[o, b * block_size + i] = bits i * bits .. i * bits + bits - 1 of block b, minus 2**(bits-1)

    Parameters
        packed: uint8 (outputs, blocks, block_size * bits / 8).
        bits: int, 2, 4 or 8.
        length: int, inputs; what the last block has after them is not read.
    Returns
        q: int32 (outputs, length).
    Raises
        GridError: another width, or bytes of no block size.
        ShapeError: packed has not three axes, or another number of blocks.

    >>> unpack_matmul_nbits(np.uint8([[[241, 144, 0, 0, 0, 0, 0, 0]]]), 4, 4)
    array([[-7,  7, -8,  1]], dtype=int32)

    Source: ONNX Runtime's description of the operator; run on all widths.
    Spec: unpack_matmul_nbits
    """
    stream, bits, length = arguments.blocks(packed, bits, length)
    return _turned(unpack_codes(stream, bits, stream.shape[1] * 8 // bits), bits)[:, :length]


def pack_matmul_nbits_zeros(zero_point, bits):
    """Zero points to the packed input zero_points of MatMulNBits.

    bit b * bits + j of the bytes of output o = bit j of zero_point[o, b] + 2**(bits-1);  0 after the last block

    Parameters
        zero_point: integers (outputs, blocks), -2**(bits-1) .. 2**(bits-1) - 1.
        bits: int, 2, 4 or 8.
    Returns
        packed: uint8 (outputs, ceil(blocks * bits / 8)).
    Raises
        GridError: another width, or a zero point off the grid.
        ShapeError: zero_point has not two axes.

    >>> pack_matmul_nbits_zeros(np.int32([[0, -8, 7]]), 4)
    array([[ 8, 15]], dtype=uint8)

    Source: ONNX Runtime's description of the operator; run on all widths.
    Spec: pack_matmul_nbits_zeros
    """
    zero_point, bits = arguments.matrix("zero_point", zero_point, bits, arguments.NBITS_BITS)
    return pack_codes(as_codes((zero_point + 2 ** (bits - 1)).astype(np.uint8), bits), bits)


def unpack_matmul_nbits_zeros(packed, bits, blocks):
    """The packed input zero_points of MatMulNBits to zero points.

    zero_point[o, b] = bits b * bits .. b * bits + bits - 1 of the bytes of output o, minus 2**(bits-1)

    Parameters
        packed: uint8 (outputs, ceil(blocks * bits / 8)).
        bits: int, 2, 4 or 8.
        blocks: int, of an output; what the last byte has after them is not read.
    Returns
        zero_point: int32 (outputs, blocks).
    Raises
        GridError: another width.
        ShapeError: packed has not two axes, or another length.

    >>> unpack_matmul_nbits_zeros(np.uint8([[8, 15]]), 4, 3)
    array([[ 0, -8,  7]], dtype=int32)

    Source: ONNX Runtime's description of the operator; run on all widths.
    Spec: unpack_matmul_nbits_zeros
    """
    packed, bits = arguments.words(packed, np.uint8, bits, arguments.NBITS_BITS)
    checks.packed_codes(packed, np.uint8, bits, blocks)
    return _turned(unpack_codes(packed, bits, packed.shape[1] * 8 // bits), bits)[:, :blocks]


def _turned(q, bits):
    """Two's complement of a number to that number less 2**(bits-1)."""
    half = 2 ** (bits - 1)
    return np.where(q < 0, q + half, q - half).astype(np.int32)
