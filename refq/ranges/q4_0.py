"""Real numbers to blocks of llama.cpp's Q4_0."""

import numpy as np

from refq.grids.arguments_blocks import as_half, block_values
from refq.grids.q4_0 import SIZE, flat, pack_q4_0
from refq.ranges.llama_cpp import q4_0_range


def encode_q4_0(x):
    """Real numbers to Q4_0 blocks, with llama.cpp's own rounding.

    scale = m / -8, q = min(15, trunc(x * (1 / scale) + 8.5)) - 8; m is the first value of the largest magnitude

    Parameters
        x: float32 (..., n), finite; n a multiple of 32.
    Returns
        packed: uint8 (..., n / 32 * 18); the scale is rounded to float16 after the codes were made.
    Raises
        ShapeError: n is no multiple of 32.
        GridError: a scale is beyond float16.

    >>> decode_q4_0(encode_q4_0(np.float32([-8, 0.5] * 16)))[:2]
    array([-8.,  1.], dtype=float32)

    Source: ggml, quantize_row_q4_0_ref, read and run (llama-cpp-python 0.3.36).
    Spec: encode_q4_0
    """
    groups = block_values(x, SIZE) + np.float32(0)  # no -0: llama.cpp gives a block of zeros the scale -0
    scale, *_ = q4_0_range(groups)
    u = np.trunc(groups * reciprocal(scale) + np.float32(8.5))
    q = np.minimum(u, 15).astype(np.int32) - 8
    return pack_q4_0(flat(q), as_half("scale", scale[..., 0]).astype(np.float32))


def reciprocal(scale):
    """1 / scale in float32; 0 where scale is 0 or so small that this overflows: float16 holds none of those."""
    with np.errstate(divide="ignore", over="ignore"):
        inverse = np.float32(1) / scale
    return np.where(np.isfinite(inverse), inverse, np.float32(0))
