"""Real numbers to blocks of llama.cpp's Q4_1."""

import numpy as np

from refq.grids.arguments_blocks import as_half, block_values
from refq.grids.q4_0 import flat
from refq.grids.q4_1 import SIZE, pack_q4_1
from refq.ranges.llama_cpp import q4_1_range
from refq.ranges.q4_0 import reciprocal


def encode_q4_1(x):
    """Real numbers to Q4_1 blocks, with llama.cpp's own rounding.

    scale = (max - min) / 15, q = min(15, trunc((x - min) * (1 / scale) + 0.5))

    Parameters
        x: float32 (..., n), finite; n a multiple of 32.
    Returns
        packed: uint8 (..., n / 32 * 20); scale and minimum are rounded to float16 after the codes were made.
    Raises
        ShapeError: n is no multiple of 32.
        GridError: a scale or minimum is beyond float16.

    >>> decode_q4_1(encode_q4_1(np.float32([-8, -7.5, 7, 7] * 8)))[:3]
    array([-8., -7.,  7.], dtype=float32)

    Source: ggml, quantize_row_q4_1_ref, read and run (llama-cpp-python 0.3.36).
    Spec: encode_q4_1
    """
    groups = block_values(x, SIZE)
    scale, *_ = q4_1_range(groups)
    first = groups.argmin(axis=-1, keepdims=True)  # of 0 and -0 the first, as llama.cpp
    minimum = np.take_along_axis(groups, first, axis=-1)
    u = np.trunc((groups - minimum) * reciprocal(scale) + np.float32(0.5))
    halves = (as_half(name, v[..., 0]).astype(np.float32) for name, v in (("scale", scale), ("minimum", minimum)))
    return pack_q4_1(flat(np.minimum(u, 15).astype(np.int32)), *halves)
