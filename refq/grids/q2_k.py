"""llama.cpp's Q2_K: 256 codes of 2 bits in 16 sub-blocks, each with a 4-bit scale and a 4-bit minimum, in 84 bytes."""

import numpy as np

from refq.grids.arguments_blocks import block_bytes, stored_half

SIZE, BYTES = 256, 84


def decode_q2_k(packed):
    """Q2_K blocks to real numbers.

    x = (d * a) * u - dmin * m, a and m those of the sub-block of 16

    Parameters
        packed: uint8 (..., blocks * 84): 16 bytes of a (low nibble) and m, 64 bytes of u, d, dmin as float16.
    Returns
        x: float32 (..., blocks * 256).
    Raises
        ShapeError: the last axis does not hold whole blocks.
        NonFiniteError: d or dmin is NaN or infinite.

    >>> decode_q2_k(np.uint8([33] * 16 + [228] * 64 + [0, 60, 0, 56]))[[0, 32, 64, 96]]
    array([-1.,  0.,  1.,  2.], dtype=float32)

    Source: read in ggml, and run (llama-cpp-python 0.3.36).
    Spec: decode_q2_k
    """
    packed = block_bytes(packed, BYTES)
    d, dmin = stored_half("d", packed[..., 80:82]), stored_half("dmin", packed[..., 82:84])
    a, m = packed[..., :16] & np.uint8(15), packed[..., :16] >> np.uint8(4)
    u = split_pairs(packed[..., 16:80]).astype(np.float32)
    x = (d * a)[..., None] * u.reshape(*a.shape, 16) - (dmin * m)[..., None]
    return x.reshape(*packed.shape[:-2], packed.shape[-2] * SIZE)


def split_pairs(raw):
    """64 bytes of pairs of bits to numbers uint8 (..., 2, 4, 32) below 4: [h, k, l] is pair k of byte 32 h + l."""
    raw = raw.reshape(*raw.shape[:-1], 2, 1, 32)
    return raw >> np.uint8([[0], [2], [4], [6]]) & np.uint8(3)
