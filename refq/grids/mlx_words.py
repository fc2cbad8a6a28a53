"""The uint32 words of MLX's affine format: a dense stream along the inputs."""

import numpy as np

from refq.grids import arguments_words as arguments
from refq.grids.pack import pack_compressed_tensors, unpack_compressed_tensors


def pack_mlx(q, bits):
    """Codes of a weight to the words of MLX's affine format.

    bit i * bits + j of the stream of a row = bit j of q[i] + 2**(bits-1);  word k = its bits 32 k .. 32 k + 31

    Parameters
        q: integer codes (outputs, inputs), -2**(bits-1) .. 2**(bits-1) - 1.
        bits: int, 2, 3, 4, 5, 6 or 8; inputs * bits is a multiple of 32.
    Returns
        packed: uint32 (outputs, inputs * bits / 32).
    Raises
        GridError: another width, or a code that does not fit it.
        ShapeError: q has not two axes, or its inputs do not fill whole words.

    >>> pack_mlx(np.int32([[-8, -7, -8, -8, -8, -8, -8, 7]]), 4)
    array([[4026531856]], dtype=uint32)

    Source: MLX 0.32: run on all widths.
    Spec: pack_mlx
    """
    q, bits = arguments.matrix("q", q, bits, arguments.MLX_BITS)
    arguments.whole_words("q", q.shape[1], bits)
    return pack_compressed_tensors(q, bits).view(np.uint32)


def unpack_mlx(packed, bits):
    """The words of MLX's affine format to codes.

    q[i] = bits i * bits .. i * bits + bits - 1 of the stream of the row, minus 2**(bits-1)

    Parameters
        packed: uint32 (outputs, words).
        bits: int, 2, 3, 4, 5, 6 or 8; 32 * words is a multiple of it.
    Returns
        q: int32 (outputs, 32 * words / bits).
    Raises
        GridError: another width.
        ShapeError: packed has not two axes, or its words cut a code off.

    >>> unpack_mlx(np.uint32([[4026531856]]), 4)
    array([[-8, -7, -8, -8, -8, -8, -8,  7]], dtype=int32)

    Source: MLX 0.32: run on all widths.
    Spec: unpack_mlx
    """
    packed, bits = arguments.words(packed, np.uint32, bits, arguments.MLX_BITS)
    inputs = arguments.whole_codes(packed.shape[1], bits)
    return unpack_compressed_tensors(np.ascontiguousarray(packed).astype(np.uint32).view(np.int32), bits, inputs)
