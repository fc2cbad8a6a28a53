"""Real numbers to blocks of llama.cpp's Q6_K."""

import numpy as np

from refq.grids.arguments_blocks import as_half, block_values
from refq.grids.q4_0 import flat
from refq.grids.q6_k import SIZE, join_halves
from refq.ranges.mse import sequential_sum

SMALLEST = np.float32(1e-15)  # a group that reaches no further is zeros
TRIALS = [np.float32(0.1) * np.float32(i) + np.float32(32) for i in (0, *range(-9, 0), *range(1, 10))]


def encode_q6_k(x):
    """Real numbers to Q6_K blocks, with llama.cpp's own search.

    A scale a sub-block of 16, of 19 candidates that of the least error weighted by x**2; as 8 bits of the block's
    largest; codes of the scales that are stored.

    Parameters
        x: float32 (..., n), finite; n a multiple of 256.
    Returns
        packed: uint8 (..., n / 256 * 210).
    Raises
        ShapeError: n is no multiple of 256.
        GridError: a scale is beyond float16.

    >>> decode_q6_k(encode_q6_k(np.tile(np.float32([-32, 1, 2, 31]), 64)))[:4]
    array([-32.,   1.,   2.,  31.], dtype=float32)

    Source: ggml, quantize_row_q6_K_ref without importances, run (llama-cpp-python 0.3.36).
    Spec: encode_q6_k
    """
    groups = block_values(x, 16, 16)
    with np.errstate(all="ignore"):  # an infinity becomes a GridError
        return stored(groups, *_fit(groups))


def stored(groups, scale, u):
    """The bytes of sub-blocks, by scale (..., 16) of each and the codes of the search."""
    with np.errstate(all="ignore"):
        first = np.abs(scale).argmax(axis=-1, keepdims=True)
        largest = np.take_along_axis(scale, first, axis=-1)
        none = np.abs(largest) < SMALLEST
        inverse = np.float32(-128) / largest
        d = as_half("scale", np.where(none, np.float32(0), np.float32(1) / inverse))
        a = np.where(none, np.float32(0), np.minimum(np.rint(inverse * scale), 127))
        step = (d.astype(np.float32) * a)[..., None]
        u = np.where(step != 0, _codes(groups / step), u) + 32
    u = np.where(none[..., None], 0, u).astype(np.uint8)
    low, high = join_halves(u.reshape(*u.shape[:-2], SIZE))
    parts = low, high, a.astype(np.int8).view(np.uint8), d.astype("<f2").view(np.uint8)
    return flat(np.concatenate(parts, axis=-1))


def _fit(x):
    """Scale (...,) and codes, -32..31, of each group (..., 16): x is about scale * code."""
    first = np.abs(x).argmax(axis=-1, keepdims=True)
    largest = np.take_along_axis(x, first, axis=-1)
    scale = best = u = None
    for steps in TRIALS:
        trial = _codes(-steps / largest * x)
        products, squares = sequential_sum(x * x * x * trial), sequential_sum(x * x * trial * trial)
        if u is None:
            scale, u = np.where(squares > 0, products / squares, np.float32(0)), trial
            best = scale * products
        better = (squares > 0) & (products * products > best * squares)
        scale, u = np.where(better, products / squares, scale), np.where(better, trial, u)
        best = np.where(better, scale * products, best)
    zeros = np.abs(largest) < SMALLEST
    return np.where(zeros, np.float32(0), scale)[..., 0], np.where(zeros, np.float32(-32), u)


def _codes(t):
    """The nearest codes of -32..31."""
    return np.clip(np.rint(t), -32, 31)
