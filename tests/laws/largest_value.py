"""Mistakes of the encoders that divide the largest value by the lowest code to get the scale: Q4_0 and Q5_0."""

import numpy as np

import refq
from tests.laws.blocks import SIZES, big_endian, neighbours, rebuilt, swapped

LOWEST = {"q4_0": -8, "q5_0": -16}


def mistakes(kind):
    """WRONG of the encoder."""
    lowest, start = np.float32(LOWEST[kind]), SIZES[kind][1] - 16  # of the nibbles
    up = np.float32(0.5) - lowest

    def codes(rounding, scale_of=lambda groups: _largest(groups) / lowest):
        return lambda x: _encoded(kind, x, rounding, scale_of)

    def usual(t, *_):
        return np.trunc(t + up) + lowest

    def divided(t, groups, scale):
        return usual(np.where(scale == 0, 0, groups / scale))

    def rounded_before(t, groups, scale):
        half = scale.astype(np.float16).astype(np.float32)
        return usual(np.where(half == 0, 0, groups * (np.float32(1) / half)))

    return {
        "ties to even": codes(lambda t, *_: np.rint(t)),
        "truncated": codes(lambda t, *_: np.trunc(t)),
        "divided by the scale": codes(divided),
        "scale rounded before the codes": codes(rounded_before),
        "the scale without a sign": codes(usual, lambda groups: np.abs(_largest(groups) / lowest)),
        "the sign of the largest value": codes(usual, lambda groups: _largest(groups) / -lowest),
        "the largest value over the highest code": codes(usual, lambda groups: _largest(groups) / (lowest + 1)),
        "the last of equals": codes(usual, lambda groups: _largest(groups[:, ::-1]) / lowest),
        "codes one too high": rebuilt(kind, lambda b: np.hstack([b[:, :start], b[:, start:] + 17])),
        "codes 2 j and 2 j + 1 in a byte": rebuilt(kind, lambda b: neighbours(b, start)),
        "first code in the high nibble": rebuilt(kind, lambda b: swapped(b, start)),
        "big-endian scale": rebuilt(kind, big_endian),
        "no check of float16": lambda x: getattr(refq, f"encode_{kind}")(np.clip(x, -65000, 65000)),
    }


def _largest(groups):
    first = np.abs(groups).argmax(axis=-1, keepdims=True)
    return np.take_along_axis(groups, first, axis=-1)


def _encoded(kind, x, rounding, scale_of):
    """The encoder with another rounding of x * (1 / scale), (t, groups, scale) -> codes, or another scale."""
    getattr(refq, f"encode_{kind}")(x)  # for the errors
    groups, lowest = x.reshape(-1, 32), LOWEST[kind]
    scale = scale_of(groups)
    with np.errstate(all="ignore"):
        inverse = np.where(np.isfinite(1 / scale), np.float32(1) / scale, np.float32(0))
        q = np.nan_to_num(rounding(groups * inverse, groups, scale))
    u = (np.clip(q, lowest, -lowest - 1) - lowest).astype(np.uint8)
    parts = [scale.astype(np.float16).view(np.uint8), u[:, :16] & 15 | (u[:, 16:] & 15) << 4]
    if lowest == -16:
        parts.insert(1, np.packbits(u >> 4, axis=-1, bitorder="little"))
    return np.hstack(parts).reshape(*x.shape[:-1], -1)
