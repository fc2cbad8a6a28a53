"""llama.cpp's Q4_K: 256 codes of 4 bits in 8 sub-blocks, each with a 6-bit scale and a 6-bit minimum, in 144 bytes."""

import numpy as np

from refq.grids.arguments_blocks import block_bytes, stored_half
from refq.grids.q4_0 import codes_of_nibbles

SIZE, BYTES = 256, 144


def decode_q4_k(packed):
    """Q4_K blocks to real numbers.

    x = (d * a) * u - dmin * m, a and m those of the sub-block of 32

    Parameters
        packed: uint8 (..., blocks * 144): d, dmin as float16, 12 bytes of a and m, 128 bytes of u.
    Returns
        x: float32 (..., blocks * 256).
    Raises
        ShapeError: the last axis does not hold whole blocks.
        NonFiniteError: d or dmin is NaN or infinite.

    >>> decode_q4_k(np.uint8([0, 60, 0, 56] + [2] * 4 + [4] * 4 + [0] * 4 + [33] * 128))[[0, 32, 128]]
    array([0., 2., 0.], dtype=float32)

    Source: read in ggml, and run (llama-cpp-python 0.3.36).
    Spec: decode_q4_k
    """
    packed = block_bytes(packed, BYTES)
    d, dmin = stored_half("d", packed[..., :2]), stored_half("dmin", packed[..., 2:4])
    a, m = split_six_bits(packed[..., 4:16])
    u = codes_of_nibbles(packed[..., 16:].reshape(*packed.shape[:-1], 4, 32)).reshape(*a.shape, 32)
    x = (d * a)[..., None] * u - (dmin * m)[..., None]
    return x.reshape(*packed.shape[:-2], packed.shape[-2] * SIZE)


def split_six_bits(raw):
    """The 12 bytes of a Q4_K block to its scales a and minima m, float32 (..., 8) each.

    a[j], m[j] = low six bits of bytes j, j + 4; a[j + 4], m[j + 4] = nibbles of byte j + 8, above them the two highest
    bits of bytes j, j + 4; j < 4
    """
    first, second, third = raw[..., :4], raw[..., 4:8], raw[..., 8:]
    four, six, two = np.uint8(15), np.uint8(63), np.uint8(6)
    a = np.concatenate([first & six, third & four | first >> two << np.uint8(4)], axis=-1)
    m = np.concatenate([second & six, third >> np.uint8(4) | second >> two << np.uint8(4)], axis=-1)
    return a.astype(np.float32), m.astype(np.float32)


def join_six_bits(a, m):
    """What split_six_bits splits; a and m uint8 (..., 8), at most 63."""
    low, four, six = np.uint8(15), np.uint8(4), np.uint8(6)
    first, second = a[..., :4] | a[..., 4:] >> four << six, m[..., :4] | m[..., 4:] >> four << six
    third = a[..., 4:] & low | (m[..., 4:] & low) << four
    return np.concatenate([first, second, third], axis=-1)
