"""Laws of minmax."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws.rules import check_a_grid_with_zero_on_it, check_float64_is_kept
from tests.support import both, range_arguments, range_edges

arguments = range_arguments


def edges():
    return range_edges([(1, 1), (3, 5, 31), (2, 33), (257, 2, 32), (7, 8193), (300, 1), (2, 2, 70000)])


@both
@given(arguments())
def test_a_grid_with_zero_on_it(engine, arguments):
    check_a_grid_with_zero_on_it(engine.minmax, arguments)


@both
@given(arguments())
def test_no_value_is_clipped_by_more_than_rounding(engine, arguments):
    arguments["groups"] = np.where(np.abs(arguments["groups"]) < 1e-30, 0, arguments["groups"])
    arguments["scale_dtype"] = "float32"
    x, limits = arguments["groups"], (arguments["qmin"], arguments["qmax"])
    scale, zero_point = engine.minmax(**arguments)
    error = np.abs(refq.fake_quantize(x, scale, zero_point, *limits).astype(np.float64) - x)
    assert (error <= scale.astype(np.float64) * (0.5 + 1e-4)).all()


@both
@given(arguments(), st.randoms(use_true_random=False))
def test_the_order_of_the_values_does_not_matter(engine, arguments, random):
    expected = engine.minmax(**arguments)
    order = list(range(arguments["groups"].shape[-1]))
    random.shuffle(order)
    arguments["groups"] = np.ascontiguousarray(arguments["groups"][..., order])
    np.testing.assert_equal(engine.minmax(**arguments), expected)


@both
@given(arguments())
def test_a_power_of_two_scales_the_scale(engine, arguments):
    arguments["scale_dtype"] = "float32"
    arguments["groups"] = np.where(np.abs(arguments["groups"]) < 1e-30, 0, arguments["groups"])
    scale, zero_point = engine.minmax(**arguments)
    arguments["groups"] = arguments["groups"] * np.float32(8)
    scale_8, zero_point_8 = engine.minmax(**arguments)
    zeros = ~arguments["groups"].any(axis=-1, keepdims=True)
    np.testing.assert_array_equal(scale_8, np.where(zeros, 1, scale * np.float32(8)))
    np.testing.assert_array_equal(zero_point_8, zero_point)


@both
@pytest.mark.parametrize("rule", ["minmax", "percentile", "mse", "sqnr"])
@pytest.mark.parametrize(("kind", "qmin", "qmax"), [(np.int8, -128, 127), (np.uint8, 0, 255)])
def test_limits_may_be_narrow_integers(engine, rule, kind, qmin, qmax):
    groups = np.linspace(-1, 2, 33, dtype=np.float32).reshape(3, 11)
    for symmetric in {False, qmin < 0}:
        found = getattr(engine, rule)(groups, kind(qmin), kind(qmax), symmetric)
        np.testing.assert_equal(found, getattr(engine, rule)(groups, qmin, qmax, symmetric))


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    check_float64_is_kept(engine, "minmax", arguments)


def _wrong(symmetric_steps=lambda qmin, qmax: qmax, zero_inside=True, late=False, zero=1.0, zero_rounding=np.rint):
    def minmax(groups, qmin, qmax, symmetric=True, scale_dtype="float32"):
        refq.minmax(groups, qmin, qmax, symmetric, scale_dtype)  # for the errors
        lo, hi = groups.min(axis=-1, keepdims=True), groups.max(axis=-1, keepdims=True)
        if zero_inside or symmetric:
            lo, hi = np.minimum(lo, 0), np.maximum(hi, 0)
        width = np.maximum(-lo, hi) if symmetric else hi - lo
        step = width / np.float32(symmetric_steps(qmin, qmax) if symmetric else qmax - qmin)
        step = np.where(width == 0, np.float32(zero), np.maximum(step, np.float32(1e-45)))
        stored = np.where(width == 0, step, refq.float16_scale(step)) if scale_dtype == "float16" else step
        zero_point = np.clip(qmin - zero_rounding(lo / (step if late else stored)), qmin, qmax).astype(np.int32)
        return stored, np.zeros_like(zero_point) if symmetric else zero_point

    return minmax


def _to_tensor(groups, qmin, qmax, symmetric=True, scale_dtype="float32"):
    shape = (*groups.shape[:-1], 1)
    found = refq.minmax(groups.reshape(1, -1), qmin, qmax, symmetric, scale_dtype)
    return tuple(np.broadcast_to(v.reshape(()), shape) for v in found)


def _largest_positive(groups, qmin, qmax, symmetric=True, scale_dtype="float32"):
    return refq.minmax(np.maximum(groups, 0) if symmetric else groups, qmin, qmax, symmetric, scale_dtype)


WRONG = {
    "divided by half of the steps, 7.5": _wrong(lambda qmin, qmax: (qmax - qmin) / 2),
    "divided by -qmin, 8": _wrong(lambda qmin, qmax: -qmin),
    "0 not forced inside": _wrong(zero_inside=False),
    "zero point by the scale before it is rounded": _wrong(late=True),
    "scale of a zero group is tiny": _wrong(zero=1e-5),
    "zero point truncated": _wrong(zero_rounding=np.trunc),
    "zero point ties away from zero": _wrong(zero_rounding=lambda t: np.copysign(np.floor(np.abs(t) + 0.5), t)),
    "scale not rounded": lambda scale_dtype="float32", **rest: refq.minmax(**rest),
    "one grid for all groups": _to_tensor,
    "largest value in place of largest magnitude": _largest_positive,
}
