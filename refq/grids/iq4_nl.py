"""llama.cpp's IQ4_NL: 32 places of 4 bits in one table of 16 uneven steps, and one scale, in 18 bytes."""

import numpy as np

from refq.grids.arguments_blocks import block_bytes, stored_half
from refq.grids.q4_0 import codes_of_nibbles, flat

BYTES = 18
STEPS = np.float32([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113])


def decode_iq4_nl(packed):
    """IQ4_NL blocks to real numbers.

    x = scale * steps[u], steps = -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113

    Parameters
        packed: uint8 (..., blocks * 18): scale as float16, nibbles u as in Q4_0.
    Returns
        x: float32 (..., blocks * 32).
    Raises
        ShapeError: the last axis does not hold whole blocks.
        NonFiniteError: a scale is NaN or infinite.

    >>> decode_iq4_nl(np.uint8([0, 56] + [128] * 16))[[0, 31]]
    array([-63.5,   0.5], dtype=float32)

    Source: read in ggml, and run (llama-cpp-python 0.3.36).
    Spec: decode_iq4_nl
    """
    packed = block_bytes(packed, BYTES)
    return flat(stored_half("scale", packed[..., :2]) * STEPS[codes_of_nibbles(packed[..., 2:])])
