"""llama.cpp's Q5_0 and Q5_1: as Q4_0 and Q4_1, with the fifth bit of the 32 codes in four bytes of their own."""

import numpy as np

from refq.grids.arguments_blocks import block_bytes, stored_half
from refq.grids.q4_0 import codes_of_nibbles, flat

SIZE, BYTES = 32, {"q5_0": 22, "q5_1": 24}


def decode_q5_0(packed):
    """Q5_0 blocks to real numbers.

    x = (u - 16) * scale; block = scale as float16, 4 bytes whose bit j is the fifth bit of u[j], nibbles as in Q4_0

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
    packed = block_bytes(packed, BYTES["q5_0"])
    q = _five_bits(packed[..., 2:]) - np.float32(16)
    return flat(q * stored_half("scale", packed[..., :2]))


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
    return flat(_five_bits(packed[..., 4:]) * scale + minimum)


def _five_bits(raw):
    """4 bytes of fifth bits and 16 of nibbles to numbers float32 (..., 32), 0..31."""
    fifth = np.unpackbits(raw[..., :4], axis=-1, bitorder="little")
    return (codes_of_nibbles(raw[..., 4:]) | fifth << np.uint8(4)).astype(np.float32)
