"""Laws of encode_q5_0."""

import numpy as np
from hypothesis import given

import refq
from tests.laws.blocks import SIZES, alone, big_endian, error, neighbours, rebuilt, step, swapped, value_edges, values
from tests.support import both


def arguments():
    return values("q5_0")


def edges():
    return value_edges("q5_0")


@both
@given(arguments())
def test_a_block_stands_alone(engine, arguments):
    x = arguments["x"]
    packed = engine.encode_q5_0(x)
    assert packed.dtype == np.uint8
    assert packed.shape == (*x.shape[:-1], x.shape[-1] // 32 * SIZES["q5_0"][1])
    np.testing.assert_array_equal(packed, alone(engine.encode_q5_0, "x", x, 32))


@both
@given(arguments())
def test_the_error_is_of_the_size_of_a_step(engine, arguments):
    packed = engine.encode_q5_0(**arguments)
    allowed = 1.01 * step("q5_0", packed) + 1e-6 * np.abs(arguments["x"]).max() + 2.0**-24 * 16
    assert (error("q5_0", arguments["x"], packed) <= allowed).all()


@both
@given(arguments())
def test_what_was_decoded_is_encoded_alike(engine, arguments):
    packed = engine.encode_q5_0(**arguments)
    x = engine.decode_q5_0(packed)
    unit = step("q5_0", packed)
    normal = np.repeat(unit[..., 0] > 2.0**-14, SIZES["q5_0"][1], axis=-1)
    np.testing.assert_array_equal(engine.encode_q5_0(x)[normal], packed[normal])


@both
@given(arguments())
def test_powers_of_two(engine, arguments):
    packed = engine.encode_q5_0(**arguments)
    larger = engine.encode_q5_0(arguments["x"] * np.float32(4))
    normal = np.repeat(step("q5_0", packed)[..., 0] > 2.0**-12, SIZES["q5_0"][0], axis=-1)
    found, expected = engine.decode_q5_0(larger), engine.decode_q5_0(packed)
    np.testing.assert_array_equal(found[normal], expected[normal] * 4)


def _codes(x, rounding, scale_of=None):
    """The encoder with another rounding of x * (1 / scale), or another scale."""
    refq.encode_q5_0(x)  # for the errors
    groups = x.reshape(-1, 32)
    scale = np.float32((scale_of or _scale)(groups))
    with np.errstate(all="ignore"):
        inverse = np.where(np.isfinite(1 / scale), np.float32(1) / scale, np.float32(0))
        t = groups * inverse
        u = np.clip(np.nan_to_num(rounding(t, groups, scale)), 0, 31).astype(np.uint8)
    return _bytes(u, scale.astype(np.float16)).reshape(*x.shape[:-1], -1)


def _bytes(u, half):
    return np.concatenate(
        [
            half.view(np.uint8),
            np.packbits(u >> 4, axis=-1, bitorder="little"),
            u[:, :16] & 15 | (u[:, 16:] & 15) << 4,
        ],
        axis=-1,
    )


def _scale(groups):
    first = np.abs(groups).argmax(axis=-1, keepdims=True)
    return np.take_along_axis(groups, first, axis=-1) / np.float32(-16)


def _usual(t, groups, scale):
    return np.trunc(t + np.float32(16.5))


def _divided(t, groups, scale):
    return np.trunc(np.where(scale == 0, 0, groups / scale) + np.float32(16.5))


def _rounded_before(t, groups, scale):
    half = scale.astype(np.float16).astype(np.float32)
    return np.trunc(np.where(half == 0, 0, groups * (np.float32(1) / half)) + np.float32(16.5))


def _last(groups):
    return _scale(groups[:, ::-1])


WRONG = {
    "ties to even": lambda x: _codes(x, lambda t, *_: np.rint(t) + 16),
    "truncated": lambda x: _codes(x, lambda t, *_: np.trunc(t) + 16),
    "divided by the scale": lambda x: _codes(x, _divided),
    "scale rounded before the codes": lambda x: _codes(x, _rounded_before),
    "the scale without a sign": lambda x: _codes(x, _usual, lambda g: np.abs(_scale(g))),
    "the sign of the largest value": lambda x: _codes(x, _usual, lambda g: -_scale(g)),
    "max |x| over 15": lambda x: _codes(x, _usual, lambda g: _scale(g) * np.float32(16 / 15)),
    "the last of equals": lambda x: _codes(x, _usual, _last),
    "codes one too high": rebuilt("q5_0", lambda b: np.concatenate([b[:, :6], b[:, 6:] + 17], axis=-1)),
    "codes 2 j and 2 j + 1 in a byte": rebuilt("q5_0", lambda b: neighbours(b, 6)),
    "first code in the high nibble": rebuilt("q5_0", lambda b: swapped(b, 6)),
    "big-endian scale": rebuilt("q5_0", big_endian),
    "no check of float16": lambda x: refq.encode_q5_0(np.clip(x, -65000, 65000)),
    "fifth bits highest first": rebuilt("q5_0", lambda b: np.concatenate([b[:, :2], b[:, 5:1:-1], b[:, 6:]], axis=-1)),
    "no fifth bits": rebuilt("q5_0", lambda b: np.concatenate([b[:, :2], b[:, 2:6] * 0, b[:, 6:]], axis=-1)),
}
