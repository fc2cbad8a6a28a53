"""Laws of lsq_plus_vjp."""

import numpy as np
from hypothesis import given

import refq
from refq.tape import unbroadcast
from tests.laws.learned import edges_with_gradient, offset_arguments, offset_edges, sum_cost, with_gradient
from tests.laws.operations import assert_linear_in, wide
from tests.support import both


def arguments():
    return with_gradient(offset_arguments())


def edges():
    return edges_with_gradient(offset_edges())


def bound(arguments, expected):
    g, (inside, slope) = arguments["g"], _slope(**arguments)
    return [None, sum_cost(g, slope, np.shape(arguments["scale"])), sum_cost(g, ~inside, np.shape(arguments["offset"]))]


@both
@given(arguments())
def test_linear_in_g(engine, arguments):
    assert_linear_in(engine.lsq_plus_vjp, arguments)


@both
@given(arguments())
def test_without_an_offset_it_is_lsq_vjp(engine, arguments):
    arguments["offset"] = np.zeros_like(arguments["offset"])
    gx, gscale, _ = engine.lsq_plus_vjp(**arguments)
    rest = {name: arguments[name] for name in ("g", "x", "scale", "qmin", "qmax")}
    expected = refq.lsq_vjp(zero_point=0, **rest)
    np.testing.assert_array_equal(gx, expected[0])
    assert (np.abs(gscale - expected[1]) <= bound(arguments, None)[1]).all()


@both
@given(arguments())
def test_every_element_gives_to_x_or_to_the_offset(engine, arguments):
    gx, _, goffset = engine.lsq_plus_vjp(**arguments)
    left = unbroadcast((arguments["g"] - gx).astype(np.float64), np.shape(arguments["offset"]))
    assert np.shape(goffset) == np.shape(arguments["offset"])
    assert (np.abs(goffset - left) <= bound(arguments, None)[2]).all()


@both
@given(arguments())
def test_powers_of_two_change_nothing(engine, arguments):
    eight = {name: arguments[name] * np.float32(8) for name in ("x", "scale", "offset")}
    for one, two in zip(engine.lsq_plus_vjp(**arguments), engine.lsq_plus_vjp(**(arguments | eight)), strict=True):
        np.testing.assert_array_equal(two, one)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert {gradient.dtype for gradient in engine.lsq_plus_vjp(**wide(arguments))} == {np.dtype(np.float64)}


def _slope(x, scale, offset, qmin, qmax, **_):
    t = (x - offset) / np.asarray(scale, x.dtype)
    inside = (qmin < t) & (t < qmax)
    return inside, np.where(inside, np.rint(t) - t, np.clip(t, qmin, qmax))


def _wrong(of_scale=lambda g, inside, slope: g * slope, of_offset=lambda g, inside, slope: g * ~inside, mask=None):
    def lsq_plus_vjp(g, x, scale, offset, qmin, qmax):
        inside, slope = _slope(x, scale, offset, qmin, qmax)
        if mask is not None:
            t = (x - offset) / scale
            inside = mask(t, qmin, qmax)
            slope = np.where(inside, np.rint(t) - t, np.clip(t, qmin, qmax))
        sums = of_scale(g, inside, slope), of_offset(g, inside, slope)
        shapes = np.shape(scale), np.shape(offset)
        gathered = (np.asarray(unbroadcast(s, shape), x.dtype) for s, shape in zip(sums, shapes, strict=True))
        return (np.where(inside, g, 0).astype(x.dtype), *gathered)

    return lsq_plus_vjp


WRONG = {
    "ends are inside": _wrong(mask=lambda t, low, high: (low <= t) & (t <= high)),
    "mask on the rounded code": _wrong(mask=lambda t, low, high: (low <= np.rint(t)) & (np.rint(t) <= high)),
    "offset takes all of g": _wrong(of_offset=lambda g, inside, slope: g * np.ones_like(inside)),
    "offset takes what is inside": _wrong(of_offset=lambda g, inside, slope: g * inside),
    "offset gets nothing": _wrong(of_offset=lambda g, inside, slope: g * 0),
    "offset turned": _wrong(of_offset=lambda g, inside, slope: -g * ~inside),
    "slope turned": _wrong(of_scale=lambda g, inside, slope: g * np.where(inside, -slope, slope)),
    "slope 0 outside": _wrong(of_scale=lambda g, inside, slope: g * slope * inside),
    "offset forgotten": lambda g, x, scale, offset, qmin, qmax: refq.lsq_plus_vjp(
        g, x, scale, np.zeros_like(offset), qmin, qmax
    ),
    "gradient of x not clipped": lambda g, **a: (g, *refq.lsq_plus_vjp(g, **a)[1:]),
    "averaged": lambda g, x, **a: tuple(
        r if i == 0 else r / np.float32(max(x.size, 1)) for i, r in enumerate(refq.lsq_plus_vjp(g, x, **a))
    ),
}
