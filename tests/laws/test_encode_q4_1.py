"""Laws of encode_q4_1."""

import numpy as np
from hypothesis import given

import refq
from tests.laws.block_laws import check_encoded_alone
from tests.laws.blocks import big_endian, error, neighbours, rebuilt, step, swapped, value_edges, values
from tests.support import both


def arguments():
    return values("q4_1")


def edges():
    return value_edges("q4_1")


@both
@given(arguments())
def test_a_block_stands_alone(engine, arguments):
    check_encoded_alone(engine, "q4_1", **arguments)


@both
@given(arguments())
def test_the_error_is_of_the_size_of_a_step(engine, arguments):
    packed = engine.encode_q4_1(**arguments)
    allowed = 0.51 * step("q4_1", packed) + 0.0011 * np.abs(arguments["x"]).max() + 2.0**-20
    assert (error("q4_1", arguments["x"], packed) <= allowed).all()


@both
@given(arguments())
def test_the_smallest_is_code_0(engine, arguments):
    groups = arguments["x"].reshape(-1, 32)
    q, _, minimum = engine.unpack_q4_1(engine.encode_q4_1(groups))
    smallest = groups == groups.min(axis=-1, keepdims=True)
    assert not q[smallest].any()
    np.testing.assert_array_equal(minimum, groups.min(axis=-1, keepdims=True).astype(np.float16))


def _codes(x, rounding, inside=False):
    """The encoder with another rounding of (x - min) * (1 / scale), or another range."""
    refq.encode_q4_1(x)  # for the errors
    groups = x.reshape(-1, 32)
    low, high = groups.min(axis=-1, keepdims=True), groups.max(axis=-1, keepdims=True)
    low, high = (np.minimum(low, 0), np.maximum(high, 0)) if inside else (low, high)
    scale = (high - low) / np.float32(15)
    with np.errstate(all="ignore"):
        inverse = np.where(np.isfinite(1 / scale), np.float32(1) / scale, np.float32(0))
        u = np.clip(np.nan_to_num(rounding((groups - low) * inverse, groups, scale, low)), 0, 15).astype(np.uint8)
    half = np.concatenate([scale, low], axis=-1).astype(np.float16).view(np.uint8)
    return np.concatenate([half, u[:, :16] | u[:, 16:] << 4], axis=-1).reshape(*x.shape[:-1], -1)


def _usual(t, groups, scale, low):
    return np.trunc(t + np.float32(0.5))


def _divided(t, groups, scale, low):
    return np.trunc((groups - low) / scale + np.float32(0.5))


def _rounded_before(t, groups, scale, low):
    scale, low = (v.astype(np.float16).astype(np.float32) for v in (scale, low))
    return np.trunc((groups - low) * (np.float32(1) / scale) + np.float32(0.5))


WRONG = {
    "ties to even": lambda x: _codes(x, lambda t, *_: np.rint(t)),
    "truncated": lambda x: _codes(x, lambda t, *_: np.trunc(t)),
    "divided by the scale": lambda x: _codes(x, _divided),
    "numbers rounded before the codes": lambda x: _codes(x, _rounded_before),
    "0 forced inside": lambda x: _codes(x, _usual, inside=True),
    "minimum before scale": rebuilt("q4_1", lambda b: np.concatenate([b[:, 2:4], b[:, :2], b[:, 4:]], axis=-1)),
    "codes 2 j and 2 j + 1 in a byte": rebuilt("q4_1", lambda b: neighbours(b, 4)),
    "first code in the high nibble": rebuilt("q4_1", lambda b: swapped(b, 4)),
    "big-endian minimum": rebuilt("q4_1", lambda b: big_endian(b, 2)),
    "no check of float16": lambda x: refq.encode_q4_1(np.clip(x, -65000, 65000)),
}
