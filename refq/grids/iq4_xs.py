"""llama.cpp's IQ4_XS: the steps of IQ4_NL, 256 of them in 8 sub-blocks, each with a 6-bit scale, in 136 bytes."""

import numpy as np

from refq.grids.arguments_blocks import block_bytes, stored_half
from refq.grids.iq4_nl import STEPS
from refq.grids.q4_0 import codes_of_nibbles

SIZE, BYTES = 256, 136


def decode_iq4_xs(packed):
    """IQ4_XS blocks to real numbers.

    x = (d * (a - 32)) * steps[u], a that of the sub-block of 32, steps those of decode_iq4_nl

    Parameters
        packed: uint8 (..., blocks * 136): d as float16, 2 bytes of high pairs of bits of a, 4 of its nibbles, 128 of
            nibbles u.
    Returns
        x: float32 (..., blocks * 256).
    Raises
        ShapeError: the last axis does not hold whole blocks.
        NonFiniteError: d is NaN or infinite.

    >>> decode_iq4_xs(np.uint8([0, 60, 170, 170] + [49] * 4 + [128] * 128))[[0, 16, 32, 48]]
    array([-127.,    1., -381.,    3.], dtype=float32)

    Source: read in ggml, and run (llama-cpp-python 0.3.36).
    Spec: decode_iq4_xs
    """
    packed = block_bytes(packed, BYTES)
    d = stored_half("d", packed[..., :2])
    pair = packed[..., 2:4, None] >> np.uint8([0, 2, 4, 6]) & np.uint8(3)
    nibble = packed[..., 4:8, None] >> np.uint8([0, 4]) & np.uint8(15)
    a = nibble.reshape(*nibble.shape[:-2], 8) | pair.reshape(*pair.shape[:-2], 8) << np.uint8(4)
    u = codes_of_nibbles(packed[..., 8:].reshape(*a.shape, 16))
    x = (d * (a.astype(np.float32) - np.float32(32)))[..., None] * STEPS[u]
    return x.reshape(*packed.shape[:-2], packed.shape[-2] * SIZE)
