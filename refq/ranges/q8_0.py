"""Real numbers to blocks of llama.cpp's Q8_0."""

import numpy as np

from refq.grids.arguments_blocks import as_half, block_values
from refq.grids.q4_0 import flat
from refq.grids.q8_0 import SIZE, pack_q8_0
from refq.ranges.llama_cpp import q8_0_range
from refq.ranges.q4_0 import reciprocal


def encode_q8_0(x):
    """Real numbers to Q8_0 blocks, with llama.cpp's own rounding.

    scale = max |x| / 127, q = the integer nearest to x * (1 / scale), ties away from 0

    Parameters
        x: float32 (..., n), finite; n a multiple of 32.
    Returns
        packed: uint8 (..., n / 32 * 34); the scale is rounded to float16 after the codes were made.
    Raises
        ShapeError: n is no multiple of 32.
        GridError: a scale is beyond float16.

    >>> decode_q8_0(encode_q8_0(np.float32([-127, 0.5] * 16)))[:2]
    array([-127.,    1.], dtype=float32)

    Source: ggml, quantize_row_q8_0_ref, read and run (llama-cpp-python 0.3.36).
    Spec: encode_q8_0
    """
    groups = block_values(x, SIZE)
    scale, *_ = q8_0_range(groups)
    t = groups * reciprocal(scale)
    whole = np.trunc(t)
    q = whole + np.where(np.abs(t - whole) >= 0.5, np.sign(t), 0)  # t + 0.5 would round once more
    return pack_q8_0(flat(q.astype(np.int32)), as_half("scale", scale[..., 0]).astype(np.float32))
