"""llama.cpp's Q3_K: 256 codes of 3 bits in 16 sub-blocks, each with a 6-bit scale, in 110 bytes."""

import numpy as np

from refq.grids.arguments_blocks import block_bytes, stored_half
from refq.grids.q2_k import split_pairs

SIZE, BYTES = 256, 110


def decode_q3_k(packed):
    """Q3_K blocks to real numbers.

    x = (d * (a - 32)) * (u - 4), a that of the sub-block of 16

    Parameters
        packed: uint8 (..., blocks * 110): 32 bytes of the third bits of u, 64 of the lower two, 12 of a, d as float16.
    Returns
        x: float32 (..., blocks * 256).
    Raises
        ShapeError: the last axis does not hold whole blocks.
        NonFiniteError: d is NaN or infinite.

    >>> decode_q3_k(np.uint8([1] * 32 + [228] * 64 + [17] * 8 + [170] * 4 + [0, 60]))[[0, 32, 64, 128]]
    array([ 0., -3., -2., -4.], dtype=float32)

    Source: read in ggml, and run (llama-cpp-python 0.3.36).
    Spec: decode_q3_k
    """
    packed = block_bytes(packed, BYTES)
    d = stored_half("d", packed[..., 108:])
    third = np.unpackbits(packed[..., None, :32], axis=-2, bitorder="little")  # bit 4 h + k of byte l
    u = split_pairs(packed[..., 32:96]) | third.reshape(*packed.shape[:-1], 2, 4, 32) << np.uint8(2)
    a = _six_bits(packed[..., 96:108]).astype(np.float32) - np.float32(32)
    v = u.astype(np.float32) - np.float32(4)
    x = (d * a)[..., None] * v.reshape(*a.shape, 16)
    return x.reshape(*packed.shape[:-2], packed.shape[-2] * SIZE)


def _six_bits(raw):
    """12 bytes to 16 numbers uint8 below 64: low nibbles of the first eight, then high ones; pairs above them."""
    nibble = np.concatenate([raw[..., :8] & np.uint8(15), raw[..., :8] >> np.uint8(4)], axis=-1)
    pair = raw[..., None, 8:] >> np.uint8([[0], [2], [4], [6]]) & np.uint8(3)
    return nibble | pair.reshape(nibble.shape) << np.uint8(4)
