"""Laws of lwc_vjp."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

import refq
from tests.laws import clipped
from tests.laws.learned import sum_cost
from tests.laws.operations import assert_linear_in, tenths
from tests.support import both


@st.composite
def arguments(draw):
    found = draw(clipped.clipping_arguments())
    return {"g": draw(tenths(found["groups"].shape))} | found


def edges():
    random = np.random.default_rng(8)
    for found in clipped.clipping_edges():
        yield {"g": random.standard_normal(found["groups"].shape).astype(np.float32)} | found


def bound(arguments, expected):
    """That of the sum, times what the step moves with each logit."""
    ends = arguments["groups"].max(axis=-1, keepdims=True), arguments["groups"].min(axis=-1, keepdims=True)
    within = sum_cost(arguments["g"], _parts(**arguments)[1], arguments["gamma"].shape)
    n, logits = 2 ** arguments["bits"] - 1, (arguments["gamma"], arguments["beta"])
    slopes = (clipped.sigmoid(v) * (1 - clipped.sigmoid(v)) for v in logits)
    return [None, *(within * np.abs(end) / n * slope + 1e-37 for end, slope in zip(ends, slopes, strict=True))]


@both
@given(arguments())
@example(clipped.call([[1, 2.0**-118]], 12, 0, 2) | {"g": np.float32([[0, 0.1]])})
def test_linear_in_g(engine, arguments):
    assert_linear_in(engine.lwc_vjp, arguments)


@both
@given(arguments())
def test_ggroups_is_that_of_fake_quantize(engine, arguments):
    scale, zero_point, _ = clipped.grid(**arguments)
    limits = 0, 2 ** arguments["bits"] - 1
    expected = refq.fake_quantize_vjp(arguments["g"], arguments["groups"], scale, zero_point, *limits)
    np.testing.assert_array_equal(engine.lwc_vjp(**arguments)[0], expected)


@both
@given(arguments())
def test_both_logits_move_one_step(engine, arguments):
    wide = arguments | {name: arguments[name].astype(np.float64) for name in ("g", "groups", "gamma", "beta")}
    _, ggamma, gbeta = engine.lwc_vjp(**wide)
    slopes = [clipped.sigmoid(arguments[name]) * (1 - clipped.sigmoid(arguments[name])) for name in ("gamma", "beta")]
    largest, smallest = (f(wide["groups"], axis=-1, keepdims=True) for f in (np.max, np.min))
    left, right = ggamma * smallest * slopes[1], -gbeta * largest * slopes[0]
    np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-12)


@both
@given(arguments())
@example(clipped.call([[-0.5, 0.5]], 4, 4, 8) | {"g": np.float32([[0.1, 0]])})  # the zero point is a tie
def test_is_the_slope_of_what_is_cut_off(engine, arguments):
    """A gradient that falls on clipped weights alone: they are multiples of the step while no zero point jumps.

    Nor may the step reach a limit, or a weight the grid, between the two ends of the difference.
    """
    wide = arguments | {name: arguments[name].astype(np.float64) for name in ("g", "groups", "gamma", "beta")}
    wide["g"] = np.where(refq.lwc_vjp(**wide)[0] == 0, wide["g"], 0)
    _, ggamma, gbeta = engine.lwc_vjp(**wide)
    rest = {name: wide[name] for name in ("groups", "gamma", "beta", "bits")}
    for name, found in (("gamma", ggamma), ("beta", gbeta)):
        at = [rest | {name: rest[name] + step} for step in (-1e-6, 1e-6)]
        slope = (wide["g"] * (engine.lwc(**at[1]) - engine.lwc(**at[0]))).sum(axis=-1, keepdims=True) / 2e-6
        kept = [(*clipped.grid(**a)[1:], refq.lwc_vjp(**wide | a)[0]) for a in at]
        steady = np.all([(one == two).all(axis=-1, keepdims=True) for one, two in zip(*kept, strict=True)], axis=0)
        reach = np.abs(wide["groups"]).max() * np.abs(wide["g"]).sum() + 1
        assert (np.abs(slope - found) <= 1e-6 * reach)[steady].all()


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    arguments |= {name: arguments[name].astype(np.float64) for name in ("g", "groups", "gamma", "beta")}
    for one, two in zip(engine.lwc_vjp(**arguments), refq.lwc_vjp(**arguments), strict=True):
        assert one.dtype == np.float64
        np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-9)


def _parts(groups, gamma, beta, bits, inside=None, free=True, outside=True, follow=True, **_):
    """Who is inside, and what a step moves each number."""
    scale, zero_point, at_no_limit = clipped.grid(groups, gamma, beta, bits)
    low, high, t = -zero_point.astype(np.float32), (2**bits - 1 - zero_point).astype(np.float32), groups / scale
    within = (low <= np.rint(t)) & (np.rint(t) <= high) if inside is None else inside(t, low, high)
    near = np.rint(t) - t if follow else np.rint(t)
    slope = np.where(within, near, np.clip(np.rint(t), low, high) if outside else 0)
    return within, np.where(at_no_limit | (not free), slope, 0)


def _wrong(slope=lambda s: s * (1 - s), ends=lambda largest, smallest: (largest, -smallest), steps=1, **parts):
    def lwc_vjp(g, groups, gamma, beta, bits):
        refq.lwc_vjp(g, groups, gamma, beta, bits)  # what it refuses
        within, moves = _parts(groups, gamma, beta, bits, **parts)
        gscale = (g * moves).sum(axis=-1, keepdims=True)
        both = ends(groups.max(axis=-1, keepdims=True), groups.min(axis=-1, keepdims=True))
        n = 2**bits - steps
        found = (gscale * e / n * slope(clipped.sigmoid(v)) for e, v in zip(both, (gamma, beta), strict=True))
        return np.where(within, g, 0).astype(np.float32), *(v.astype(np.float32) for v in found)

    return lwc_vjp


WRONG = {
    "mask before rounding": _wrong(inside=lambda t, low, high: (low <= t) & (t <= high)),
    "nothing from inside": _wrong(follow=False),
    "nothing from outside": _wrong(outside=False),
    "limits forgotten": _wrong(free=False),
    "gradients of shares": _wrong(slope=lambda s: 1),
    "slope of tanh": _wrong(slope=lambda s: 2 * s * (1 - s)),
    "slope in float32": _wrong(slope=lambda s: np.float32(s) * (1 - np.float32(s))),
    "ends the wrong way round": _wrong(ends=lambda largest, smallest: (-smallest, largest)),
    "both signs alike": _wrong(ends=lambda largest, smallest: (largest, smallest)),
    "2**bits steps": _wrong(steps=0),
    "gradient of groups not masked": lambda g, **rest: (g, *refq.lwc_vjp(g, **rest)[1:]),
    "logits get nothing": lambda g, **rest: (refq.lwc_vjp(g, **rest)[0], *(v * 0 for v in refq.lwc_vjp(g, **rest)[1:])),
}
