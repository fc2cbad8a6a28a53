"""llama.cpp's Q5_0 and Q5_1: as Q4_0 and Q4_1, with the fifth bit of the 32 codes in four bytes of their own."""

import numpy as np

from refq.grids.arguments_blocks import block_bytes, block_codes, block_scale, stored_half
from refq.grids.q4_0 import codes_of_nibbles, flat, nibbles

SIZE, BYTES = 32, {"q5_0": 22, "q5_1": 24}


def pack_q5_0(q, scale):
    """Codes and scales to Q5_0 blocks.

    u = q + 16; block = scale as float16, 4 bytes whose bit j is the fifth bit of u[j], then the nibbles as in Q4_0

    Parameters
        q: integer codes (..., n), -16..15; n a multiple of 32.
        scale: float32 (..., n / 32), numbers that float16 holds; a sign and 0 are allowed.
    Returns
        packed: uint8 (..., n / 32 * 22).
    Raises
        ShapeError: n is no multiple of 32, or scale has another shape.
        GridError: a code outside -16..15, or a scale that float16 does not hold.

    >>> pack_q5_0(np.int32([1] * 16 + [-14] * 16), np.float32([1]))[:7]
    array([  0,  60, 255, 255,   0,   0,  33], dtype=uint8)

    Source: read in ggml, and run (llama-cpp-python 0.3.36).
    Spec: pack_q5_0
    """
    q = block_codes(q, SIZE, -16, 15)
    d = block_scale("scale", scale, q)
    u = (q + 16).astype(np.uint8)
    fifth = np.packbits(u >> np.uint8(4), axis=-1, bitorder="little")
    return flat(np.concatenate([d, fifth, nibbles(u & np.uint8(15))], axis=-1))


def unpack_q5_0(packed):
    """Q5_0 blocks to codes and scales.

    q[j] = low nibble of byte 6 + j, q[j + 16] = its high nibble, plus 16 times bit i of bytes 2..5 for q[i], minus 16

    Parameters
        packed: uint8 (..., blocks * 22).
    Returns
        q: int32 (..., blocks * 32), -16..15.
        scale: float32 (..., blocks).
    Raises
        ShapeError: the last axis does not hold whole blocks.
        NonFiniteError: a scale is NaN or infinite.

    >>> q, scale = unpack_q5_0(np.uint8([0, 60] + [255, 255, 0, 0] + [33] * 16))
    >>> q[[0, 31]], scale
    (array([  1, -14], dtype=int32), array([1.], dtype=float32))

    Source: read in ggml, and run (llama-cpp-python 0.3.36).
    Spec: unpack_q5_0
    """
    packed = block_bytes(packed, BYTES["q5_0"])
    q = _five_bits(packed[..., 2:]).astype(np.int32) - 16
    return flat(q), stored_half("scale", packed[..., :2])[..., 0]


def decode_q5_0(packed):
    """Q5_0 blocks to real numbers.

    x = q * scale

    Parameters
        packed: uint8 (..., blocks * 22).
    Returns
        x: float32 (..., blocks * 32).
    Raises
        ShapeError: the last axis does not hold whole blocks.
        NonFiniteError: a scale is NaN or infinite.

    >>> decode_q5_0(np.uint8([0, 60] + [255, 255, 0, 0] + [33] * 16))[[0, 31]]
    array([  1., -14.], dtype=float32)

    Source: read in ggml, and run (llama-cpp-python 0.3.36).
    Spec: decode_q5_0
    """
    q, scale = unpack_q5_0(packed)
    return q.astype(np.float32) * np.repeat(scale, SIZE, axis=-1)


def decode_q5_1(packed):
    """Q5_1 blocks to real numbers.

    x = u * scale + minimum; block = scale, minimum as float16, 4 bytes of fifth bits, nibbles as in Q4_0

    Parameters
        packed: uint8 (..., blocks * 24).
    Returns
        x: float32 (..., blocks * 32).
    Raises
        ShapeError: the last axis does not hold whole blocks.
        NonFiniteError: a scale or minimum is NaN or infinite.

    >>> decode_q5_1(np.uint8([0, 60, 0, 192] + [255, 255, 0, 0] + [33] * 16))[[0, 31]]
    array([15.,  0.], dtype=float32)

    Source: read in ggml, and run (llama-cpp-python 0.3.36).
    Spec: decode_q5_1
    """
    packed = block_bytes(packed, BYTES["q5_1"])
    scale, minimum = stored_half("scale", packed[..., :2]), stored_half("minimum", packed[..., 2:4])
    return flat(_five_bits(packed[..., 4:]).astype(np.float32) * scale + minimum)


def _five_bits(raw):
    """4 bytes of fifth bits and 16 of nibbles to numbers uint8 (..., 32), 0..31."""
    fifth = np.unpackbits(raw[..., :4], axis=-1, bitorder="little")
    return codes_of_nibbles(raw[..., 4:]) | fifth << np.uint8(4)
