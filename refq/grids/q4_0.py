"""llama.cpp's Q4_0: 32 codes of 4 bits around 0 and one scale in 18 bytes."""

import numpy as np

from refq.grids.arguments_blocks import block_bytes, block_codes, block_scale, stored_half

SIZE, BYTES = 32, 18


def pack_q4_0(q, scale):
    """Codes and scales to Q4_0 blocks.

    block = scale as float16, then byte j = q[j] + 8 + 16 (q[j + 16] + 8)

    Parameters
        q: integer codes (..., n), -8..7; n a multiple of 32.
        scale: float32 (..., n / 32), numbers that float16 holds; a sign and 0 are allowed.
    Returns
        packed: uint8 (..., n / 32 * 18).
    Raises
        ShapeError: n is no multiple of 32, or scale has another shape.
        GridError: a code outside -8..7, or a scale that float16 does not hold.

    >>> pack_q4_0(np.int32([-8] * 16 + [7] * 16), np.float32([1]))[:4]
    array([  0,  60, 240, 240], dtype=uint8)

    Source: read in ggml, and run (llama-cpp-python 0.3.36).
    Spec: pack_q4_0
    """
    q = block_codes(q, SIZE, -8, 7)
    u = (q + 8).astype(np.uint8)
    d = block_scale("scale", scale, q)
    return flat(np.concatenate([d, nibbles(u)], axis=-1))


def unpack_q4_0(packed):
    """Q4_0 blocks to codes and scales.

    q[j] = low nibble of byte j - 8, q[j + 16] = high nibble of byte j - 8

    Parameters
        packed: uint8 (..., blocks * 18).
    Returns
        q: int32 (..., blocks * 32), -8..7.
        scale: float32 (..., blocks).
    Raises
        ShapeError: the last axis does not hold whole blocks.
        NonFiniteError: a scale is NaN or infinite.

    >>> q, scale = unpack_q4_0(np.uint8([0, 60] + [240] * 16))
    >>> q[[0, 15, 16, 31]], scale
    (array([-8, -8,  7,  7], dtype=int32), array([1.], dtype=float32))

    Source: read in ggml, and run (llama-cpp-python 0.3.36).
    Spec: unpack_q4_0
    """
    packed = block_bytes(packed, BYTES)
    q = codes_of_nibbles(packed[..., 2:]).astype(np.int32) - 8
    return flat(q), stored_half("scale", packed[..., :2])[..., 0]


def decode_q4_0(packed):
    """Q4_0 blocks to real numbers.

    x = q * scale

    Parameters
        packed: uint8 (..., blocks * 18).
    Returns
        x: float32 (..., blocks * 32).
    Raises
        ShapeError: the last axis does not hold whole blocks.
        NonFiniteError: a scale is NaN or infinite.

    >>> decode_q4_0(np.uint8([0, 56] + [240] * 16))[[0, 31]]
    array([-4. ,  3.5], dtype=float32)

    Source: read in ggml, and run (llama-cpp-python 0.3.36).
    Spec: decode_q4_0
    """
    q, scale = unpack_q4_0(packed)
    return q.astype(np.float32) * np.repeat(scale, SIZE, axis=-1)


def flat(blocks):
    """(..., blocks, size) as (..., blocks * size)."""
    return blocks.reshape(*blocks.shape[:-2], blocks.shape[-2] * blocks.shape[-1])


def nibbles(u):
    """Numbers uint8 (..., n) below 16 to bytes (..., n / 2): the first half low, the second half high."""
    low, high = np.split(u, 2, axis=-1)
    return low | high << np.uint8(4)


def codes_of_nibbles(packed):
    """Bytes (..., n / 2) to numbers uint8 (..., n): all low nibbles, then all high ones."""
    return np.concatenate([packed & np.uint8(15), packed >> np.uint8(4)], axis=-1)
