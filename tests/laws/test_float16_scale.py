"""Laws of float16_scale."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.support import both, floats32


@st.composite
def arguments(draw):
    x = draw(floats32((draw(st.integers(1, 9)),), reach=8.0))
    return {"scale": x * np.float32(draw(st.sampled_from([1, 1e-3, 1e-7, 1e-8, 1e-30, 8000])))}


@both
@given(arguments())
def test_exact_in_float16_and_never_zero(engine, arguments):
    stored = engine.float16_scale(**arguments)
    np.testing.assert_array_equal(stored.astype(np.float16).astype(np.float32), stored)
    assert stored.dtype == np.float32
    assert stored.all()


@both
@given(arguments())
def test_idempotent(engine, arguments):
    stored = engine.float16_scale(**arguments)
    np.testing.assert_array_equal(engine.float16_scale(stored), stored)


@both
@given(arguments())
def test_odd(engine, arguments):
    stored = engine.float16_scale(**arguments)
    np.testing.assert_array_equal(engine.float16_scale(-arguments["scale"]), -stored)


@both
@given(arguments())
def test_near(engine, arguments):
    error = np.abs(engine.float16_scale(**arguments).astype(np.float64) - arguments["scale"])
    assert (error <= np.maximum(np.abs(arguments["scale"]) * 2.0**-11, 2.0**-24)).all()


def _bfloat16(scale):
    refq.float16_scale(scale)
    return ((scale.view(np.uint32) + 0x8000) & 0xFFFF0000).view(np.float32)


def _truncated(scale):
    kept = refq.float16_scale(scale)
    return np.where(np.abs(kept) > np.abs(scale), np.nextafter(kept.astype(np.float16), np.float16(0)), kept).astype(
        np.float32
    )


def _half(scale):
    with np.errstate(over="ignore"):
        return scale.astype(np.float16).astype(np.float32)


def _ties_away(scale):
    stored = refq.float16_scale(scale)
    ulp = np.spacing(np.abs(stored).astype(np.float16)).astype(np.float64)
    tie = np.abs(np.abs(scale.astype(np.float64)) - np.abs(stored)) == ulp / 2
    return np.where(tie & (np.abs(scale) > np.abs(stored)), stored + np.sign(stored) * ulp, stored).astype(np.float32)


def _flushed(scale):
    stored = refq.float16_scale(scale)
    return np.where(np.abs(stored) < 2.0**-14, np.copysign(np.float32(2.0**-14), stored), stored)


WRONG = {
    "infinity and 0 kept": _half,
    "clipped to the largest": lambda scale: refq.float16_scale(np.clip(scale, -65504, 65504)),
    "towards 0": _truncated,
    "ties away from 0": _ties_away,
    "bfloat16": _bfloat16,
    "not rounded": lambda scale: (refq.float16_scale(scale), scale)[1],
    "plus for -0": lambda scale: np.where(scale == 0, np.float32(2.0**-24), refq.float16_scale(scale)),
    "sign lost": lambda scale: np.abs(refq.float16_scale(scale)),
    "no subnormal numbers": _flushed,
    "smallest normal number in place of 0": lambda scale: np.where(
        np.abs(scale) < 2.0**-25, np.copysign(np.float32(2.0**-14), scale), refq.float16_scale(scale)
    ),
}
