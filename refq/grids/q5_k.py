"""llama.cpp's Q5_K: as Q4_K, with the fifth bit of the 256 codes in 32 bytes of their own: 176 bytes."""

import numpy as np

from refq.grids.arguments_blocks import block_bytes, stored_half
from refq.grids.q4_0 import codes_of_nibbles
from refq.grids.q4_k import split_six_bits

SIZE, BYTES = 256, 176


def decode_q5_k(packed):
    """Q5_K blocks to real numbers.

    x = (d * a) * u - dmin * m, a and m those of the sub-block of 32

    Parameters
        packed: uint8 (..., blocks * 176): d, dmin as float16, 12 bytes of a and m as in Q4_K, 32 of fifth bits,
            128 of nibbles.
    Returns
        x: float32 (..., blocks * 256).
    Raises
        ShapeError: the last axis does not hold whole blocks.
        NonFiniteError: d or dmin is NaN or infinite.

    >>> decode_q5_k(np.uint8([0, 60, 0, 56] + [2] * 4 + [4] * 4 + [0] * 4 + [2] * 32 + [33] * 128))[[0, 32, 128]]
    array([ 0., 34.,  0.], dtype=float32)

    Source: read in ggml, and run (llama-cpp-python 0.3.36).
    Spec: decode_q5_k
    """
    packed = block_bytes(packed, BYTES)
    d, dmin = stored_half("d", packed[..., :2]), stored_half("dmin", packed[..., 2:4])
    a, m = split_six_bits(packed[..., 4:16])
    nibble = codes_of_nibbles(packed[..., 48:].reshape(*packed.shape[:-1], 4, 32)).reshape(*a.shape, 32)
    fifth = np.unpackbits(packed[..., None, 16:48], axis=-2, bitorder="little")  # bit j of byte l
    x = (d * a)[..., None] * (nibble | fifth << np.uint8(4)) - (dmin * m)[..., None]
    return x.reshape(*packed.shape[:-2], packed.shape[-2] * SIZE)
