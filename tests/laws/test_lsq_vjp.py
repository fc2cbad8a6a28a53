"""Laws of lsq_vjp."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from refq.tape import unbroadcast
from tests.laws.learned import edges_with_gradient, step_arguments, step_edges, sum_cost, with_gradient
from tests.laws.operations import assert_float64_is_kept, assert_linear_in, tenths
from tests.support import both


def arguments():
    return with_gradient(step_arguments())


def edges():
    return edges_with_gradient(step_edges())


def bound(arguments, expected):
    return [None, sum_cost(arguments["g"], _slope(**arguments), np.shape(arguments["scale"]))]


@both
@given(arguments())
def test_linear_in_g(engine, arguments):
    assert_linear_in(engine.lsq_vjp, arguments)


@both
@given(arguments())
def test_gx_is_that_of_fake_quantize_except_at_most_half_a_step_beyond(engine, arguments):
    g, rest = np.ones_like(arguments["g"]), {k: v for k, v in arguments.items() if k != "g"}
    gx, _ = engine.lsq_vjp(g, **rest)
    t, low, high = _position(**rest)
    between = ((low - 0.5 <= t) & (t <= low)) | ((high <= t) & (t <= high + 0.5))
    differ = gx != engine.fake_quantize_vjp(g, **rest)
    assert not differ[~between].any()
    assert (gx[between] == 0).all()


@both
@given(arguments())
def test_powers_of_two_change_nothing(engine, arguments):
    scaled = {name: arguments[name] * np.float32(8) for name in ("x", "scale")}
    for one, two in zip(engine.lsq_vjp(**arguments), engine.lsq_vjp(**(arguments | scaled)), strict=True):
        np.testing.assert_array_equal(two, one)


@both
@given(arguments())
def test_a_shared_step_gets_the_sum_of_its_copies(engine, arguments):
    shape = np.shape(arguments["scale"])
    own = np.ascontiguousarray(np.broadcast_to(arguments["scale"], arguments["x"].shape))
    _, copies = engine.lsq_vjp(**(arguments | {"scale": own}))
    _, gscale = engine.lsq_vjp(**arguments)
    assert np.shape(gscale) == shape
    assert (np.abs(gscale - unbroadcast(copies.astype(np.float64), shape)) <= bound(arguments, None)[1]).all()


@both
@given(arguments())
def test_is_the_slope_of_the_clipped_values(engine, arguments):
    """Outside, x_hat is a multiple of the scale: there the surrogate is the derivative."""
    arguments["x"] = np.copysign(np.float32(1e8), arguments["x"])
    _, gscale = engine.lsq_vjp(**arguments)
    x_hat = engine.lsq(**{k: v for k, v in arguments.items() if k != "g"})
    terms = (arguments["g"] * x_hat).astype(np.float64)
    error = np.abs(gscale * arguments["scale"] - unbroadcast(terms, np.shape(gscale)))
    assert (error <= 1e-5 * unbroadcast(np.abs(terms), np.shape(gscale))).all()


@both
@given(st.integers(2, 8), tenths((40,)), tenths((40,)))
def test_kdlsq_is_lsq_by_the_range(engine, bits, g, x):
    """alpha = n * scale on the narrow grid; alpha's gradient is sum g * (sign(x) outside, xq - x / alpha inside)."""
    n, alpha = 2 ** (bits - 1) - 1, 0.95
    gx, gscale = engine.lsq_vjp(g.astype(np.float64), x.astype(np.float64), np.float64([alpha / n]), 0, -n, n)
    u = x.astype(np.float64) / alpha
    inside = np.abs(u) < 1
    galpha = (g * np.where(inside, np.rint(n * np.clip(u, -1, 1)) / n - u, np.sign(u))).sum()
    np.testing.assert_allclose(gscale / n, [galpha], atol=1e-12)
    np.testing.assert_array_equal(gx, g * inside)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    arguments["scale"] = np.exp2(np.rint(np.log2(arguments["scale"]))).astype(np.float32)  # no tie may move
    arguments["x"] = np.rint(arguments["x"] / arguments["scale"] * 2) / 2 * arguments["scale"]
    assert_float64_is_kept(engine.lsq_vjp, arguments)


def _position(x, scale, zero_point, qmin, qmax, **_):
    low, high = np.float32(qmin) - zero_point, np.float32(qmax) - zero_point
    return x / np.asarray(scale, x.dtype), low.astype(x.dtype), high.astype(x.dtype)


def _slope(g, x, scale, zero_point, qmin, qmax):
    t, low, high = _position(x, scale, zero_point, qmin, qmax)
    return np.where((low < t) & (t < high), np.rint(t) - t, np.clip(t, low, high))


def _wrong(inside=None, slope=_slope, factor=lambda x, scale, qmax: 1, gather=unbroadcast):
    def lsq_vjp(g, x, scale, zero_point, qmin, qmax):
        t, low, high = _position(x, scale, zero_point, qmin, qmax)
        mask = (low < t) & (t < high) if inside is None else inside(t, low, high)
        s = slope(g, x, scale, zero_point, qmin, qmax)
        if inside is not None:
            s = np.where(mask, np.rint(t) - t, np.clip(t, low, high))
        gscale = gather(g * s * factor(x, scale, qmax), np.shape(scale))
        return np.where(mask, g, 0).astype(x.dtype), np.asarray(gscale, x.dtype)

    return lsq_vjp


def _at(function):
    """A slope from t and its ends."""
    return lambda g, x, scale, zero_point, qmin, qmax: function(*_position(x, scale, zero_point, qmin, qmax))


def _inside(t, low, high):
    return (low < t) & (t < high)


def _one_sum_for_all(values, shape):
    return np.full(shape, values.sum())


WRONG = {
    "ends are inside": _wrong(lambda t, low, high: (low <= t) & (t <= high)),
    "mask on the rounded code": _wrong(lambda t, low, high: (low <= np.rint(t)) & (np.rint(t) <= high)),
    "zero point forgotten": lambda g, x, scale, zero_point, qmin, qmax: refq.lsq_vjp(g, x, scale, 0, qmin, qmax),
    "gradient of x not clipped": lambda g, **a: (g, refq.lsq_vjp(g, **a)[1]),
    "slope without t": _wrong(slope=_at(lambda t, low, high: np.clip(np.rint(t), low, high))),
    "slope turned": _wrong(
        slope=_at(lambda t, low, high: np.where(_inside(t, low, high), t - np.rint(t), np.clip(t, low, high)))
    ),
    "slope 0 inside": _wrong(slope=_at(lambda t, low, high: np.where(_inside(t, low, high), 0, np.clip(t, low, high)))),
    "slope 0 outside": _wrong(slope=_at(lambda t, low, high: np.where(_inside(t, low, high), np.rint(t) - t, 0))),
    "codes as ends": _wrong(
        slope=lambda g, x, scale, zero_point, qmin, qmax: np.where(
            _inside(*_position(x, scale, zero_point, qmin, qmax)),
            np.rint(x / scale) - x / scale,
            np.clip(x / scale + zero_point, qmin, qmax),
        )
    ),
    "ties away from zero": _wrong(
        slope=_at(
            lambda t, low, high: np.where(
                _inside(t, low, high), np.copysign(np.floor(np.abs(t) + 0.5), t) - t, np.clip(t, low, high)
            )
        )
    ),
    "averaged": _wrong(factor=lambda x, scale, qmax: np.float32(np.size(scale) / max(x.size, 1))),
    "gradient scale inside": _wrong(factor=lambda x, scale, qmax: np.float32(1 / np.sqrt(max(x.size, 1) * qmax))),
    "multiplied by the scale": _wrong(factor=lambda x, scale, qmax: scale),
    "one sum for all": _wrong(gather=_one_sum_for_all),
}
