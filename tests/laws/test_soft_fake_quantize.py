"""Laws of soft_fake_quantize."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws.learned import step_arguments, step_edges
from tests.laws.soft import clamp
from tests.support import both


@st.composite
def arguments(draw):
    rest = draw(step_arguments())
    sharpness, beta = draw(st.sampled_from([0, 1.0, 10.0, 100])), draw(st.sampled_from([0.25, 1, 3.0, 1024]))
    return rest | {"sharpness": sharpness, "beta": beta}


def edges():
    for i, rest in enumerate(step_edges(2)):
        yield rest | {"sharpness": (10.0, 0)[i % 2], "beta": (1.0, 0.5)[i % 2]}


def bound(arguments, expected):
    """None, but a step where what is rounded lies so near a tie that the exponential decides."""
    c, off, low, high = rounded_from(**arguments)
    undecided = (np.abs(c - np.floor(c) - 0.5) <= off) & (low - off < c) & (c < high + off)
    return np.where(undecided, np.abs(arguments["scale"]) * 1.001, 0)


def rounded_from(x, scale, zero_point, qmin, qmax, sharpness, beta):
    """What is rounded, how far it may be off, and the ends."""
    v, low, high = position(x, scale, zero_point, qmin, qmax)
    return *clamp(v, low, high, beta), low, high


def position(x, scale, zero_point, qmin, qmax):
    """v, low and high in float64."""
    with np.errstate(over="ignore"):
        v = np.clip(x / np.asarray(scale, x.dtype), -(2.0**24), 2.0**24).astype(np.float64)
    return v, np.float64(qmin) - zero_point, np.float64(qmax) - zero_point


@both
@given(arguments())
def test_lies_on_the_grid(engine, arguments):
    x_hat = engine.soft_fake_quantize(**arguments)
    grid = [arguments[name] for name in ("scale", "zero_point", "qmin", "qmax")]
    assert x_hat.shape == arguments["x"].shape
    np.testing.assert_array_equal(engine.fake_quantize(x_hat, *grid), x_hat)


@both
@given(arguments())
def test_a_sharp_clamp_gives_fake_quantize(engine, arguments):
    arguments["beta"] = 1024
    x_hat, *grid = [arguments[name] for name in ("x", "scale", "zero_point", "qmin", "qmax")]
    np.testing.assert_array_equal(engine.soft_fake_quantize(**arguments), engine.fake_quantize(x_hat, *grid))


@both
@given(arguments())
def test_sharpness_is_no_part_of_the_value(engine, arguments):
    x_hat = engine.soft_fake_quantize(**arguments)
    np.testing.assert_array_equal(engine.soft_fake_quantize(**(arguments | {"sharpness": 3})), x_hat)


@both
@given(arguments())
def test_powers_of_two_scale_the_result(engine, arguments):
    x_hat = engine.soft_fake_quantize(**arguments)
    scaled = {name: arguments[name] * np.float32(8) for name in ("x", "scale")}
    np.testing.assert_array_equal(engine.soft_fake_quantize(**(arguments | scaled)), x_hat * np.float32(8))


@both
@given(arguments())
def test_far_out_is_the_end(engine, arguments):
    arguments["x"] = np.where(arguments["x"] < 0, np.float32(-3e38), np.float32(3e38))
    grid = [arguments[name] for name in ("scale", "zero_point", "qmin", "qmax")]
    expected = engine.fake_quantize(arguments["x"], *grid)
    np.testing.assert_array_equal(engine.soft_fake_quantize(**arguments), expected)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    arguments |= {name: arguments[name].astype(np.float64) for name in ("x", "scale")}
    x_hat = engine.soft_fake_quantize(**arguments)
    assert x_hat.dtype == np.float64
    assert (np.abs(x_hat - refq.soft_fake_quantize(**arguments)) <= bound(arguments, x_hat)).all()


def _wrong(codes=False, ends=True, rounding=np.rint, product=True):
    def soft_fake_quantize(x, scale, zero_point, qmin, qmax, sharpness, beta=1.0):
        refq.soft_fake_quantize(x, scale, zero_point, qmin, qmax, sharpness, beta)  # for the errors
        v, low, high = position(x, scale, zero_point, qmin, qmax)
        shift = np.asarray(zero_point) if codes else 0
        c = clamp(v + shift, low + shift, high + shift, beta)[0]
        r = rounding(c) - shift
        r = np.clip(r, low, high) if ends else r
        return (r.astype(x.dtype) * (scale if product else 1)).astype(x.dtype)

    return soft_fake_quantize


def _nan(x, scale, zero_point, qmin, qmax, sharpness, beta=1.0):
    x_hat = refq.soft_fake_quantize(x, scale, zero_point, qmin, qmax, sharpness, beta)
    with np.errstate(over="ignore"):
        return np.where(np.isinf(x / np.asarray(scale, x.dtype)), np.float32(np.nan), x_hat)


WRONG = {
    "fake_quantize": lambda x, scale, zero_point, qmin, qmax, sharpness, beta=1.0: (
        refq.fake_quantize(x, scale, zero_point, qmin, qmax)
        + 0 * refq.soft_fake_quantize(x, scale, zero_point, qmin, qmax, sharpness, beta)
    ),
    "codes clamped, not steps": _wrong(codes=True),
    "no clip after rounding": _wrong(ends=False),
    "truncation": _wrong(rounding=np.trunc),
    "not rounded": _wrong(rounding=lambda c: c),
    "codes in place of reals": _wrong(product=False),
    "NaN where the quotient overflows": _nan,
    "beta forgotten": lambda beta=1.0, **rest: refq.soft_fake_quantize(**rest),
    "zero point forgotten": lambda zero_point, **rest: refq.soft_fake_quantize(zero_point=0, **rest),
}
