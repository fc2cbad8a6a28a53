"""llama.cpp's Q8_0: 32 codes of 8 bits around 0 and one scale in 34 bytes."""

import numpy as np

from refq.grids.arguments_blocks import block_bytes, block_codes, block_scale, stored_half
from refq.grids.q4_0 import flat

SIZE, BYTES = 32, 34


def pack_q8_0(q, scale):
    """Codes and scales to Q8_0 blocks.

    block = scale as float16, then the codes as int8

    Parameters
        q: integer codes (..., n), -128..127; n a multiple of 32.
        scale: float32 (..., n / 32), numbers that float16 holds.
    Returns
        packed: uint8 (..., n / 32 * 34).
    Raises
        ShapeError: n is no multiple of 32, or scale has another shape.
        GridError: a code outside -128..127, or a scale that float16 does not hold.

    >>> pack_q8_0(np.int32([-1, 2] * 16), np.float32([1]))[:4]
    array([  0,  60, 255,   2], dtype=uint8)

    Source: read in ggml, and run (llama-cpp-python 0.3.36).
    Spec: pack_q8_0
    """
    q = block_codes(q, SIZE, -128, 127)
    d = block_scale("scale", scale, q)
    return flat(np.concatenate([d, q.astype(np.int8).view(np.uint8)], axis=-1))


def unpack_q8_0(packed):
    """Q8_0 blocks to codes and scales.

    q[j] = byte j as int8

    Parameters
        packed: uint8 (..., blocks * 34).
    Returns
        q: int32 (..., blocks * 32), -128..127.
        scale: float32 (..., blocks).
    Raises
        ShapeError: the last axis does not hold whole blocks.
        NonFiniteError: a scale is NaN or infinite.

    >>> q, scale = unpack_q8_0(np.uint8([0, 60] + [255, 2] * 16))
    >>> q[:2], scale
    (array([-1,  2], dtype=int32), array([1.], dtype=float32))

    Source: read in ggml, and run (llama-cpp-python 0.3.36).
    Spec: unpack_q8_0
    """
    packed = block_bytes(packed, BYTES)
    q = np.ascontiguousarray(packed[..., 2:]).view(np.int8).astype(np.int32)
    return flat(q), stored_half("scale", packed[..., :2])[..., 0]


def decode_q8_0(packed):
    """Q8_0 blocks to real numbers.

    x = q * scale

    Parameters
        packed: uint8 (..., blocks * 34).
    Returns
        x: float32 (..., blocks * 32).
    Raises
        ShapeError: the last axis does not hold whole blocks.
        NonFiniteError: a scale is NaN or infinite.

    >>> decode_q8_0(np.uint8([0, 56] + [255, 2] * 16))[:2]
    array([-0.5,  1. ], dtype=float32)

    Source: read in ggml, and run (llama-cpp-python 0.3.36).
    Spec: decode_q8_0
    """
    q, scale = unpack_q8_0(packed)
    return q.astype(np.float32) * np.repeat(scale, SIZE, axis=-1)
