"""Laws of encode_q8_0."""

import numpy as np
from hypothesis import given

import refq
from tests.laws.block_laws import check_encoded_alone
from tests.laws.blocks import big_endian, error, rebuilt, step, value_edges, values
from tests.support import both


def arguments():
    return values("q8_0")


def edges():
    return value_edges("q8_0")


@both
@given(arguments())
def test_a_block_stands_alone(engine, arguments):
    check_encoded_alone(engine, "q8_0", **arguments)


@both
@given(arguments())
def test_the_error_is_of_the_size_of_a_step(engine, arguments):
    packed = engine.encode_q8_0(**arguments)
    allowed = 0.57 * step("q8_0", packed) + 2.0**-18
    assert (error("q8_0", arguments["x"], packed) <= allowed).all()


@both
@given(arguments())
def test_odd(engine, arguments):
    q, scale = engine.unpack_q8_0(engine.encode_q8_0(**arguments))
    minus, same = engine.unpack_q8_0(engine.encode_q8_0(-arguments["x"]))
    np.testing.assert_array_equal(minus, -q)
    np.testing.assert_array_equal(same, scale)


@both
@given(arguments())
def test_the_largest_has_code_127(engine, arguments):
    groups = arguments["x"].reshape(-1, 32)
    q, _ = engine.unpack_q8_0(engine.encode_q8_0(groups))
    largest = np.abs(groups).max(axis=-1)
    np.testing.assert_array_equal(np.abs(q).max(axis=-1)[largest > 0], 127)


def _codes(x, rounding, steps=127):
    """The encoder with another rounding of x * (1 / scale), or another scale."""
    refq.encode_q8_0(x)  # for the errors
    groups = x.reshape(-1, 32)
    scale = np.abs(groups).max(axis=-1, keepdims=True) / np.float32(steps)
    with np.errstate(all="ignore"):
        inverse = np.where(np.isfinite(1 / scale), np.float32(1) / scale, np.float32(0))
        q = np.clip(np.nan_to_num(rounding(groups * inverse, groups, scale)), -128, 127).astype(np.int8)
    return np.concatenate([scale.astype(np.float16).view(np.uint8), q.view(np.uint8)], axis=-1).reshape(
        *x.shape[:-1], -1
    )


def _away(t):
    return np.sign(t) * np.floor(np.abs(t).astype(np.float64) + 0.5)


def _rounded_before(t, groups, scale):
    half = scale.astype(np.float16).astype(np.float32)
    return _away(groups * (np.float32(1) / half))


WRONG = {
    "ties to even": lambda x: _codes(x, lambda t, *_: np.rint(t)),
    "ties up": lambda x: _codes(x, lambda t, *_: np.floor(t + np.float32(0.5))),
    "a half added": lambda x: _codes(x, lambda t, *_: np.trunc(t + np.copysign(np.float32(0.5), t))),
    "truncated": lambda x: _codes(x, lambda t, *_: np.trunc(t)),
    "divided by the scale": lambda x: _codes(x, lambda t, groups, scale: _away(groups / scale)),
    "scale rounded before the codes": lambda x: _codes(x, _rounded_before),
    "max |x| over 128": lambda x: _codes(x, lambda t, *_: _away(t), 128),
    "codes + 128": rebuilt("q8_0", lambda b: np.concatenate([b[:, :2], b[:, 2:] ^ 128], axis=-1)),
    "big-endian scale": rebuilt("q8_0", big_endian),
    "scale at the end": rebuilt("q8_0", lambda b: np.concatenate([b[:, 2:], b[:, :2]], axis=-1)),
    "no check of float16": lambda x: refq.encode_q8_0(np.clip(x, -65000, 65000)),
}
