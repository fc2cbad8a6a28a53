"""Real numbers to blocks of llama.cpp's Q4_K."""

import numpy as np

from refq.grids.arguments_blocks import as_half, block_values
from refq.grids.q4_0 import flat, nibbles
from refq.grids.q4_k import join_six_bits
from refq.ranges.mse import sequential_sum

TRIALS = np.float32(0.1) * np.arange(21, dtype=np.float32) + np.float32(-1) + np.float32(15)  # 14 to 16 steps a range


def encode_q4_k(x):
    """Real numbers to Q4_K blocks, with llama.cpp's own search.

    A scale and a minimum a sub-block of 32, of 22 candidates those of the least weighted squared error; both as 6 bits
    of the block's largest; codes of the scales that are stored.

    Parameters
        x: float32 (..., n), finite; n a multiple of 256.
    Returns
        packed: uint8 (..., n / 256 * 144).
    Raises
        ShapeError: n is no multiple of 256.
        GridError: a scale or minimum is beyond float16.

    >>> decode_q4_k(encode_q4_k(np.tile(np.float32([0, 1, 2, 15]), 64)))[:4].round(2)
    array([ 0.,  1.,  2., 15.], dtype=float32)

    Source: ggml, quantize_row_q4_K_ref without importances, run (llama-cpp-python 0.3.36).
    Spec: encode_q4_k
    """
    groups = block_values(x, 8, 32)
    with np.errstate(all="ignore"):  # an infinity becomes a GridError
        return stored(groups, *_fit(groups))


def stored(groups, scale, minimum, u):
    """The bytes of sub-blocks, by scale and minimum (..., 8) of each and the codes of the search."""
    with np.errstate(all="ignore"):
        d, a = _six_bits("scale", scale)
        dmin, m = _six_bits("minimum", -minimum)
        step, offset = (d.astype(np.float32) * a)[..., None], (dmin.astype(np.float32) * m)[..., None]
        u = np.where(step != 0, _codes((groups + offset) / step), u).astype(np.uint8)
    head = np.concatenate([d, dmin], axis=-1).astype("<f2").view(np.uint8)
    six = join_six_bits(a.astype(np.uint8), m.astype(np.uint8))
    u = nibbles(u.reshape(*u.shape[:-2], 4, 64))
    return flat(np.concatenate([head, six, u.reshape(*u.shape[:-2], 128)], axis=-1))


def _fit(x):
    """Scale and minimum (...,) and codes of each group (..., 32): x is about scale * code + minimum."""
    weight = np.sqrt(sequential_sum(x * x) / np.float32(32)) + np.abs(x)
    low, high = np.minimum(x.min(axis=-1, keepdims=True), 0), x.max(axis=-1, keepdims=True)
    flat_one = low == high
    sums = sequential_sum(weight), sequential_sum(weight * x)
    iscale = np.float32(15) / (high - low)
    u, scale = _codes(iscale * (x - low)), np.float32(1) / iscale
    error = _error(x, weight, scale, low, u)
    for steps in TRIALS:
        trial = _codes(steps / (high - low) * (x - low))
        determinant, *line = _least_squares(x, weight, trial, *sums)
        found = _error(x, weight, *line, trial)
        better = (determinant > 0) & (found < error) & ~flat_one
        error, u = np.where(better, found, error), np.where(better, trial, u)
        scale, low = np.where(better, line[0], scale), np.where(better, line[1], low)  # the next trial starts at it
    return np.where(flat_one, np.float32(0), scale)[..., 0], low[..., 0], np.where(flat_one, np.float32(0), u)


def _least_squares(x, weight, u, sum_w, sum_x):
    """The determinant, and the line (scale, minimum) through u and x; a minimum above 0 becomes 0."""
    sum_u, sum_uu, sum_xu = sequential_sum(weight * u), sequential_sum(weight * u * u), sequential_sum(weight * u * x)
    determinant = sum_w * sum_uu - sum_u * sum_u
    scale = (sum_w * sum_xu - sum_x * sum_u) / determinant
    minimum = (sum_uu * sum_x - sum_u * sum_xu) / determinant
    above = minimum > 0
    return determinant, np.where(above, sum_xu / sum_uu, scale), np.where(above, np.float32(0), minimum)


def _error(x, weight, scale, minimum, u):
    difference = scale * u + minimum - x
    return sequential_sum(weight * (difference * difference))


def _six_bits(name, value):
    """The unit as float16 (..., 1), and how many of it each of 8 values is, 0..63."""
    largest = np.maximum(value.max(axis=-1, keepdims=True), 0)
    inverse = np.where(largest > 0, np.float32(63) / largest, np.float32(0))
    count = np.rint(inverse * value)
    count = np.where(np.isfinite(count), np.minimum(count, 63), np.float32(0))
    return as_half(name, largest / np.float32(63)), count


def _codes(t):
    """The nearest codes of 0..15; 0 where t is not finite."""
    return np.where(np.isfinite(t), np.clip(np.rint(t), 0, 15), np.float32(0))
