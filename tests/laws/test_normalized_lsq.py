"""Laws of normalized_lsq."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws.learned import step_arguments, step_edges
from tests.support import both


@st.composite
def arguments(draw):
    """x on halves of the steps of the grid, which are scale / gamma wide."""
    bits, signed, step = draw(st.integers(1, 16)), draw(st.booleans()), draw(step_arguments())
    return {"x": step["x"], "scale": step["scale"] * gamma(bits, signed), "bits": bits, "signed": signed}


def edges():
    for i, step in enumerate(step_edges(3)):
        bits, signed = (1, 4, 8, 16)[i % 4], i % 3 > 0
        yield {"x": step["x"], "scale": step["scale"] * gamma(bits, signed), "bits": bits, "signed": signed}


def gamma(bits, signed):
    return np.float32(1 if bits == 1 else 2 ** (bits - 1) if signed else 2**bits)


@both
@given(arguments())
def test_codes_over_gamma(engine, arguments):
    x_hat = engine.normalized_lsq(**arguments)
    bits, signed = arguments["bits"], arguments["signed"]
    d = x_hat * gamma(bits, signed)
    assert x_hat.dtype == np.float32
    assert x_hat.shape == arguments["x"].shape
    assert (d == np.rint(d)).all()
    assert len(np.unique(d)) <= 2**bits
    assert ((-1 if signed else 0) <= x_hat).all()
    assert (x_hat <= 1).all()


@both
@given(arguments())
def test_is_fake_quantize_without_the_product(engine, arguments):
    """The step of fake_quantize is scale / gamma, exactly: gamma is a power of two."""
    arguments["bits"] = max(arguments["bits"], 2)
    x, scale, bits, signed = arguments.values()
    limits, over = engine.integer_range(bits, signed), gamma(bits, signed)
    q = engine.quantize(x, scale / over, 0, *limits)
    np.testing.assert_array_equal(engine.normalized_lsq(**arguments) * over, q)


@both
@given(arguments())
def test_non_decreasing(engine, arguments):
    arguments |= {"x": np.sort(arguments["x"], axis=-1), "scale": np.max(arguments["scale"])}
    assert (np.diff(engine.normalized_lsq(**arguments), axis=-1) >= 0).all()


@both
@given(arguments())
def test_only_the_quotient_counts(engine, arguments):
    x_hat = engine.normalized_lsq(**arguments)
    arguments |= {"x": arguments["x"] * np.float32(8), "scale": arguments["scale"] * np.float32(8)}
    np.testing.assert_array_equal(engine.normalized_lsq(**arguments), x_hat)


@both
@given(arguments())
def test_one_signed_bit_is_never_zero(engine, arguments):
    arguments |= {"bits": 1, "signed": True}
    np.testing.assert_array_equal(engine.normalized_lsq(**arguments), np.where(arguments["x"] < 0, -1, 1))


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    arguments |= {name: arguments[name].astype(np.float64) for name in ("x", "scale")}
    x_hat = engine.normalized_lsq(**arguments)
    assert x_hat.dtype == np.float64
    np.testing.assert_array_equal(x_hat, refq.normalized_lsq(**arguments))


def _wrong(sign=lambda v: np.where(v >= 0, 1, -1), rounding=np.rint, divide=lambda x, s: x / s, after=None, wide=0):
    def normalized_lsq(x, scale, bits, signed=True):
        refq.normalized_lsq(x, scale, bits, signed)  # for the errors
        over = gamma(bits, signed)
        with np.errstate(over="ignore"):
            v = over * divide(x, np.asarray(scale, x.dtype))
        low, high = (-1 if signed else 0, 1) if bits == 1 else refq.integer_range(bits, signed)
        d = sign(v) if bits == 1 and signed else rounding(np.clip(v, low + wide, high))
        x_hat = d / over
        return (x_hat if after is None else after(x_hat, scale)).astype(x.dtype)

    return normalized_lsq


def _gamma_is_high(x, scale, bits, signed=True):
    over, high = gamma(bits, signed), 1 if bits == 1 else refq.integer_range(bits, signed)[1]
    return (refq.normalized_lsq(x, scale, bits, signed) * over / np.float32(high)).astype(x.dtype)


WRONG = {
    "multiplied by scale, as lsq": _wrong(after=lambda x_hat, scale: x_hat * scale),
    "sign of 0 is 0": _wrong(sign=np.sign),
    "sign of 0 is -1": _wrong(sign=lambda v: np.where(v > 0, 1, -1)),
    "sign of the sign bit": _wrong(sign=lambda v: np.where(np.signbit(v), -1, 1)),
    "sign of x": lambda x, scale, bits, signed=True: (
        np.where(x >= 0, 1, -1).astype(x.dtype) if bits == 1 and signed else refq.normalized_lsq(x, scale, bits, signed)
    ),
    "one bit rounded": _wrong(sign=lambda v: np.rint(np.clip(v, -1, 1))),
    "ties away from zero": _wrong(rounding=lambda t: np.copysign(np.floor(np.abs(t) + 0.5), t)),
    "ties up": _wrong(rounding=lambda t: np.floor(t + 0.5)),
    "truncation": _wrong(rounding=np.trunc),
    "product with the reciprocal": _wrong(divide=lambda x, s: x * (x.dtype.type(1) / s)),
    "division in float64": _wrong(divide=lambda x, s: x.astype(np.float64) / s),
    "narrow range": _wrong(wide=1),
    "divided by the largest code": _gamma_is_high,
    "always signed": lambda x, scale, bits, signed=True: refq.normalized_lsq(x, scale, bits),
}
