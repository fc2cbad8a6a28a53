"""llama.cpp's Q6_K: 256 codes of 6 bits in 16 sub-blocks, each with an 8-bit scale, in 210 bytes."""

import numpy as np

from refq.grids.arguments_blocks import block_bytes, stored_half
from refq.grids.q2_k import split_pairs

SIZE, BYTES = 256, 210


def decode_q6_k(packed):
    """Q6_K blocks to real numbers.

    x = (d * a) * (u - 32), a that of the sub-block of 16

    Parameters
        packed: uint8 (..., blocks * 210): 128 bytes of low nibbles, 64 of high pairs of bits, a as int8, d as float16.
    Returns
        x: float32 (..., blocks * 256).
    Raises
        ShapeError: the last axis does not hold whole blocks.
        NonFiniteError: d is NaN or infinite.

    >>> decode_q6_k(np.uint8([33] * 128 + [228] * 64 + [255] * 16 + [0, 60]))[[0, 32, 64, 96]]
    array([ 31.,  15.,  -2., -18.], dtype=float32)

    Source: read in ggml, and run (llama-cpp-python 0.3.36).
    Spec: decode_q6_k
    """
    packed = block_bytes(packed, BYTES)
    d = stored_half("d", packed[..., 208:])
    a = np.ascontiguousarray(packed[..., 192:208]).view(np.int8).astype(np.float32)
    v = split_halves(packed[..., :128], packed[..., 128:192]).astype(np.float32) - np.float32(32)
    x = (d * a)[..., None] * v.reshape(*a.shape, 16)
    return x.reshape(*packed.shape[:-2], packed.shape[-2] * SIZE)


def split_halves(low, high):
    """Bytes of nibbles (..., 128) and of pairs of bits (..., 64) to numbers uint8 (..., 256) below 64.

    In each half of 128 numbers, number l + 32 k (l < 32): its low four bits are the low nibble of byte l + 32 k for
    k < 2, else the high nibble of byte l + 32 (k - 2); its high two bits are bits 2 k, 2 k + 1 of byte l.
    """
    low = low.reshape(*low.shape[:-1], 2, 1, 2, 32)
    nibble = np.concatenate([low & np.uint8(15), low >> np.uint8(4)], axis=-3)
    pair = split_pairs(high)
    u = nibble.reshape(pair.shape) | pair << np.uint8(4)
    return u.reshape(*u.shape[:-3], SIZE)


def join_halves(u):
    """What split_halves splits: numbers uint8 (..., 256) below 64 to bytes (..., 128) and (..., 64)."""
    four = u.reshape(*u.shape[:-1], 2, 4, 32)
    nibble = four & np.uint8(15)
    low = nibble[..., :2, :] | nibble[..., 2:, :] << np.uint8(4)
    pair = four >> np.uint8(4) << np.uint8([[0], [2], [4], [6]])
    high = np.bitwise_or.reduce(pair, axis=-2)
    return low.reshape(*u.shape[:-1], 128), high.reshape(*u.shape[:-1], 64)
