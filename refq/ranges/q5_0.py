"""Real numbers to blocks of llama.cpp's Q5_0, the type that llama.cpp takes where Q4_K does not fit a row."""

import numpy as np

from refq.grids.arguments_blocks import as_half, block_values
from refq.grids.q4_0 import flat, nibbles
from refq.grids.q5_0 import SIZE
from refq.ranges.q4_0 import reciprocal


def encode_q5_0(x):
    """Real numbers to Q5_0 blocks, with llama.cpp's own rounding.

    scale = m / -16, u = min(31, trunc(x * (1 / scale) + 16.5)); m is the first value of the largest magnitude

    Parameters
        x: float32 (..., n), finite; n a multiple of 32.
    Returns
        packed: uint8 (..., n / 32 * 22); the scale is rounded to float16 after the codes were made.
    Raises
        ShapeError: n is no multiple of 32.
        GridError: a scale is beyond float16.

    >>> decode_q5_0(encode_q5_0(np.float32([-16, 0.5] * 16)))[:2]
    array([-16.,   1.], dtype=float32)

    Source: ggml, quantize_row_q5_0_ref, run (llama-cpp-python 0.3.36).
    Spec: encode_q5_0
    """
    groups = block_values(x, SIZE) + np.float32(0)  # no -0, as in encode_q4_0
    first = np.abs(groups).argmax(axis=-1, keepdims=True)
    scale = np.take_along_axis(groups, first, axis=-1) / np.float32(-16)
    u = np.trunc(groups * reciprocal(scale) + np.float32(16.5))
    u = np.minimum(u, 31).astype(np.uint8)
    fifth = np.packbits(u >> np.uint8(4), axis=-1, bitorder="little")
    d = as_half("scale", scale).astype("<f2").view(np.uint8)
    return flat(np.concatenate([d, fifth, nibbles(u & np.uint8(15))], axis=-1))
