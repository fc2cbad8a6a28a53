"""llama.cpp's Q4_1: 32 codes of 4 bits from a minimum upwards and one scale in 20 bytes."""

import numpy as np

from refq.grids.arguments_blocks import block_bytes, block_codes, block_scale, stored_half
from refq.grids.q4_0 import codes_of_nibbles, flat, nibbles

SIZE, BYTES = 32, 20


def pack_q4_1(q, scale, minimum):
    """Codes, scales and minima to Q4_1 blocks.

    block = scale, minimum as float16, then byte j = q[j] + 16 q[j + 16]

    Parameters
        q: integer codes (..., n), 0..15; n a multiple of 32.
        scale: float32 (..., n / 32), numbers that float16 holds.
        minimum: float32 (..., n / 32), the real number of code 0, likewise.
    Returns
        packed: uint8 (..., n / 32 * 20).
    Raises
        ShapeError: n is no multiple of 32, or scale or minimum has another shape.
        GridError: a code outside 0..15, or a scale or minimum that float16 does not hold.

    >>> pack_q4_1(np.int32([1] * 16 + [2] * 16), np.float32([1]), np.float32([-2]))[:5]
    array([  0,  60,   0, 192,  33], dtype=uint8)

    Source: read in ggml, and run (llama-cpp-python 0.3.36).
    Spec: pack_q4_1
    """
    q = block_codes(q, SIZE, 0, 15)
    halves = [block_scale(*pair, q) for pair in (("scale", scale), ("minimum", minimum))]
    return flat(np.concatenate([*halves, nibbles(q.astype(np.uint8))], axis=-1))


def unpack_q4_1(packed):
    """Q4_1 blocks to codes, scales and minima.

    q[j] = low nibble of byte j, q[j + 16] = high nibble of byte j

    Parameters
        packed: uint8 (..., blocks * 20).
    Returns
        q: int32 (..., blocks * 32), 0..15.
        scale: float32 (..., blocks).
        minimum: float32 (..., blocks).
    Raises
        ShapeError: the last axis does not hold whole blocks.
        NonFiniteError: a scale or minimum is NaN or infinite.

    >>> q, scale, minimum = unpack_q4_1(np.uint8([0, 60, 0, 192] + [33] * 16))
    >>> q[[0, 31]], scale, minimum
    (array([1, 2], dtype=int32), array([1.], dtype=float32), array([-2.], dtype=float32))

    Source: read in ggml, and run (llama-cpp-python 0.3.36).
    Spec: unpack_q4_1
    """
    packed = block_bytes(packed, BYTES)
    scale, minimum = (stored_half(name, packed[..., i : i + 2]) for name, i in (("scale", 0), ("minimum", 2)))
    return flat(codes_of_nibbles(packed[..., 4:]).astype(np.int32)), scale[..., 0], minimum[..., 0]


def decode_q4_1(packed):
    """Q4_1 blocks to real numbers.

    x = q * scale + minimum

    Parameters
        packed: uint8 (..., blocks * 20).
    Returns
        x: float32 (..., blocks * 32).
    Raises
        ShapeError: the last axis does not hold whole blocks.
        NonFiniteError: a scale or minimum is NaN or infinite.

    >>> decode_q4_1(np.uint8([0, 60, 0, 192] + [33] * 16))[[0, 31]]
    array([-1.,  0.], dtype=float32)

    Source: read in ggml, and run (llama-cpp-python 0.3.36).
    Spec: decode_q4_1
    """
    q, scale, minimum = unpack_q4_1(packed)
    return q.astype(np.float32) * np.repeat(scale, SIZE, axis=-1) + np.repeat(minimum, SIZE, axis=-1)
