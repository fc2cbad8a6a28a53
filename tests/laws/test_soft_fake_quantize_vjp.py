"""Laws of soft_fake_quantize_vjp."""

import numpy as np
from hypothesis import given

import refq
from refq.tape import unbroadcast
from tests.laws import test_soft_fake_quantize as forward
from tests.laws.learned import edges_with_gradient, sum_cost, with_gradient
from tests.laws.operations import assert_linear_in
from tests.laws.soft import clamp_slopes, stairs
from tests.support import both


def arguments():
    return with_gradient(forward.arguments())


def edges():
    return edges_with_gradient(forward.edges())


def bound(arguments, expected):
    g, rest = arguments["g"], {name: v for name, v in arguments.items() if name != "g"}
    slope, off, r, v = _parts(**rest)
    shape = np.shape(arguments["scale"])
    undecided = (forward.bound(rest, None) > 0) + 0.0  # the code may be the next one
    moved = unbroadcast(np.abs(g) * (off * np.abs(v) + undecided), shape)
    return [np.abs(g) * off, moved + sum_cost(g, np.abs(r) + (np.abs(slope) + off) * np.abs(v), shape)]


def _parts(sharpness, beta, **rest):
    """slope, how far it may be off, r and v, in float64."""
    v, low, high = forward.position(**rest)
    c, moved, _, _ = forward.rounded_from(**rest, sharpness=sharpness, beta=beta)
    (of_clamp, _, _), (off_clamp, _, _) = clamp_slopes(v, low, high, beta)
    of_stairs, off_stairs = stairs(c, sharpness, moved + np.abs(c) * 2.0**-23)
    off = np.abs(of_clamp) * off_stairs + off_clamp * (of_stairs + off_stairs)
    return of_clamp * of_stairs, off, np.clip(np.rint(c), low, high), v


@both
@given(arguments())
def test_linear_in_g(engine, arguments):
    assert_linear_in(engine.soft_fake_quantize_vjp, arguments)


@both
@given(arguments())
def test_plain_straight_through_and_a_sharp_clamp_give_lsq(engine, arguments):
    arguments |= {"sharpness": 0, "beta": 1024}
    g, *rest = [arguments[name] for name in ("g", "x", "scale", "zero_point", "qmin", "qmax")]
    v, low, high = forward.position(*rest)
    arguments["g"] = g = np.where(np.minimum(np.abs(v - low), np.abs(v - high)) > 0.02, g, np.float32(0))
    found, expected = engine.soft_fake_quantize_vjp(**arguments), engine.lsq_vjp(g, *rest)
    for one, other, within in zip(found, expected, bound(arguments, None), strict=True):
        assert (np.abs(one.astype(np.float64) - other) <= within + 1e-5).all()


@both
@given(arguments())
def test_powers_of_two_change_nothing(engine, arguments):
    scaled = arguments | {name: arguments[name] * np.float32(8) for name in ("x", "scale")}
    for one, two in zip(
        engine.soft_fake_quantize_vjp(**arguments), engine.soft_fake_quantize_vjp(**scaled), strict=True
    ):
        np.testing.assert_array_equal(two, one)


@both
@given(arguments())
def test_far_out_scale_feels_the_end_alone(engine, arguments):
    arguments["x"] = np.where(arguments["x"] < 0, np.float32(-3e38), np.float32(3e38))
    gx, gscale = engine.soft_fake_quantize_vjp(**arguments)
    _, low, high = forward.position(*[arguments[name] for name in ("x", "scale", "zero_point", "qmin", "qmax")])
    terms = arguments["g"] * np.where(arguments["x"] < 0, low, high)
    error = np.abs(gscale - unbroadcast(terms, np.shape(gscale)))
    assert (gx == 0).all()
    assert (error <= 1e-5 * unbroadcast(np.abs(terms), np.shape(gscale))).all()


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    arguments |= {name: arguments[name].astype(np.float64) for name in ("g", "x", "scale")}
    found, expected = engine.soft_fake_quantize_vjp(**arguments), refq.soft_fake_quantize_vjp(**arguments)
    for one, other, within in zip(found, expected, bound(arguments, None), strict=True):
        assert one.dtype == np.float64
        assert (np.abs(one - other) <= within).all()


def _wrong(of_x=lambda slope, s: slope, of_scale=lambda r, slope, v: r - slope * v, gather=unbroadcast, changed=None):
    def soft_fake_quantize_vjp(g, x, scale, zero_point, qmin, qmax, sharpness, beta=1.0):
        named = {"x": x, "scale": scale, "zero_point": zero_point, "qmin": qmin, "qmax": qmax}
        named |= {"sharpness": sharpness, "beta": beta}
        refq.soft_fake_quantize_vjp(g, **named)  # for the errors
        slope, _, r, v = _parts(**(named | (changed or {})))
        gx, terms = g * of_x(slope, scale), g * of_scale(r, slope, v)
        return gx.astype(x.dtype), np.asarray(gather(terms, np.shape(scale)), x.dtype)

    return soft_fake_quantize_vjp


def _lsq(g, x, scale, zero_point, qmin, qmax, sharpness, beta=1.0):
    refq.soft_fake_quantize_vjp(g, x, scale, zero_point, qmin, qmax, sharpness, beta)  # for the errors
    return refq.lsq_vjp(g, x, scale, zero_point, qmin, qmax)


WRONG = {
    "the gradients of lsq": _lsq,
    "stairs straight through": _wrong(changed={"sharpness": 0}),
    "hard clamp": _wrong(changed={"beta": 1024}),
    "beta forgotten": _wrong(changed={"beta": 1.0}),
    "zero point forgotten": _wrong(changed={"zero_point": 0}),
    "divided by scale": _wrong(of_x=lambda slope, s: slope / s),
    "scale feels no code": _wrong(of_scale=lambda r, slope, v: -slope * v),
    "sign of gscale": _wrong(of_scale=lambda r, slope, v: slope * v - r),
    "gscale straight through": _wrong(of_scale=lambda r, slope, v: r - v),
    "one sum for all": _wrong(gather=lambda terms, shape: np.full(shape, terms.sum())),
    "averaged": _wrong(gather=lambda terms, shape: unbroadcast(terms, shape) * (np.prod(shape) / max(terms.size, 1))),
}
