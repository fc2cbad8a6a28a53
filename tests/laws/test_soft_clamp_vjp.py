"""Laws of soft_clamp_vjp."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from refq.tape import unbroadcast
from tests.laws import test_soft_clamp
from tests.laws.learned import sum_cost
from tests.laws.operations import assert_float64_is_kept, assert_linear_in, normal, tenths
from tests.laws.soft import clamp_slopes, gates, sigmoid
from tests.laws.test_log_softmax import quiet
from tests.support import both


@st.composite
def arguments(draw):
    forward = draw(test_soft_clamp.arguments())
    return {"g": draw(tenths(forward["x"].shape))} | forward


def edges():
    for forward in test_soft_clamp.edges():
        yield {"g": normal(4, *forward["x"].shape)} | forward


def bound(arguments, expected):
    g, x, *limits, beta = arguments.values()
    (_, *slopes), (off, *offs) = clamp_slopes(x, *limits, beta)
    sums = [
        unbroadcast(np.abs(g) * o, np.shape(limit)) + sum_cost(g, np.abs(slope) + o, np.shape(limit))
        for slope, o, limit in zip(slopes, offs, limits, strict=True)
    ]
    return [np.abs(g) * off, *sums]


@both
@given(arguments())
def test_linear_in_g(engine, arguments):
    arguments["beta"] = min(arguments["beta"], 2.5)
    assert_linear_in(engine.soft_clamp_vjp, arguments)


@both
@given(arguments())
def test_the_three_add_up_to_one_and_a_product_of_gates(engine, arguments):
    x = arguments["x"]
    spread = {name: np.broadcast_to(arguments[name], x.shape).copy() for name in ("minimum", "maximum")}
    arguments |= spread | {"g": np.ones_like(x)}
    found = engine.soft_clamp_vjp(**arguments)
    _, (not_a, not_b), _ = gates(*list(arguments.values())[1:])
    assert (np.abs(sum(found) - (1 + not_a * not_b)) <= sum(bound(arguments, None)) + 1e-6).all()


@both
@given(arguments())
def test_one_inside_and_zero_outside_where_the_clamp_is_sharp(engine, arguments):
    arguments["beta"] = 1024
    x, low, high = (arguments[name] for name in ("x", "minimum", "maximum"))
    gx, _, _ = engine.soft_clamp_vjp(**arguments)
    aside = np.minimum(np.abs(x - low), np.abs(x - high)) > 0.05
    np.testing.assert_allclose(gx[aside], np.where((low < x) & (x < high), arguments["g"], 0)[aside], atol=1e-5)


@both
@given(arguments())
def test_shared_limits_get_the_sum_of_their_copies(engine, arguments):
    spread = {name: np.broadcast_to(arguments[name], arguments["x"].shape).copy() for name in ("minimum", "maximum")}
    _, *copies = engine.soft_clamp_vjp(**(arguments | spread))
    _, *found = engine.soft_clamp_vjp(**arguments)
    for one, many, within in zip(found, copies, bound(arguments, None)[1:], strict=True):
        assert (np.abs(one - unbroadcast(many.astype(np.float64), one.shape)) <= within).all()


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    arguments["beta"] = min(arguments["beta"], 0.25)
    assert_float64_is_kept(engine.soft_clamp_vjp, arguments)


def _wrong(change, dtype=np.float64):
    def soft_clamp_vjp(g, x, minimum, maximum, beta=1.0):
        found = refq.soft_clamp_vjp(g, x, minimum, maximum, beta)  # for the errors
        a, b = (np.asarray(v, dtype) for v in (minimum, maximum))
        s = lambda t: sigmoid(dtype(beta) * t).astype(dtype)
        at_low = beta * s(x - a) * s(a - x) * (x * s(b - x) - a)
        at_high = beta * s(b - x) * s(x - b) * (b - x * s(x - a))
        parts = change(s(x - a), s(b - x), at_low, at_high)
        shapes = [x.shape, np.shape(minimum), np.shape(maximum)]
        return tuple(
            np.asarray(unbroadcast(g * p, shape), x.dtype) for p, shape, _ in zip(parts, shapes, found, strict=True)
        )

    return soft_clamp_vjp


WRONG = {
    "gates held constant": _wrong(lambda a, b, low, high: (a * b, 1 - a, 1 - b)),
    "sign of the lower corner": _wrong(lambda a, b, low, high: (a * b - low + high, 1 - a + low, 1 - b - high)),
    "sign of the upper corner": _wrong(lambda a, b, low, high: (a * b + low - high, 1 - a - low, 1 - b + high)),
    "an infinite difference times a gate of 0": quiet(
        _wrong(lambda a, b, low, high: (a * b + low + high, 1 - a - low, 1 - b - high), np.float32)
    ),
    "limits constant": _wrong(lambda a, b, low, high: (a * b + low + high, 0 * a, 0 * b)),
    "limits exchanged": _wrong(lambda a, b, low, high: (a * b + low + high, 1 - b - high, 1 - a - low)),
    "slope clipped to 0..1": _wrong(
        lambda a, b, low, high: (np.clip(a * b + low + high, 0, 1), 1 - a - low, 1 - b - high)
    ),
    "beta forgotten": lambda g, x, minimum, maximum, beta=1.0: refq.soft_clamp_vjp(g, x, minimum, maximum),
    "clip": _wrong(lambda a, b, low, high: ((a > 0.5) & (b > 0.5), a < 0.5, b < 0.5)),
}
