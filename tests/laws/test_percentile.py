"""Laws of percentile."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.support import both, range_arguments


def arguments():
    percent = st.sampled_from([50, 62.5, 75, 90.0, 99.9, 100])
    return st.tuples(range_arguments(), percent).map(lambda both: both[0] | {"percent": both[1]})


@both
@given(arguments())
def test_a_hundred_is_minmax(engine, arguments):
    rest = {name: value for name, value in arguments.items() if name != "percent"}
    np.testing.assert_equal(engine.percentile(**rest, percent=100), engine.minmax(**rest))


@both
@given(range_arguments())
def test_the_scale_does_not_decrease(engine, arguments):
    arguments["groups"] = arguments["groups"] + np.float32(0.25)  # a zero group would have scale 1
    arguments |= {"symmetric": True, "qmin": -8, "qmax": 7}
    scales = [engine.percentile(**arguments, percent=p)[0] for p in (50, 60, 80, 95, 99.9, 100)]
    assert all((a <= b).all() for a, b in zip(scales, scales[1:], strict=False) if a.all())


@both
@given(arguments())
def test_negation_mirrors_the_grid(engine, arguments):
    scale, _ = engine.percentile(**arguments)
    arguments["groups"] = -arguments["groups"]
    np.testing.assert_array_equal(engine.percentile(**arguments)[0], scale)


@both
@given(arguments())
def test_near_numpy(engine, arguments):
    arguments |= {"symmetric": True, "qmin": -2, "qmax": 1, "scale_dtype": "float32"}
    x = np.abs(arguments["groups"].astype(np.float64))
    expected = np.percentile(x, arguments["percent"], axis=-1, keepdims=True)
    scale, _ = engine.percentile(**arguments)
    there = expected > 1e-30
    np.testing.assert_allclose(scale[there], expected[there], rtol=1e-6)


def _wrong(method="linear", tails=lambda percent: percent, magnitude=True):
    def percentile(groups, qmin, qmax, symmetric=True, scale_dtype="float32", percent=99.9):
        refq.percentile(groups, qmin, qmax, symmetric, scale_dtype, percent)  # for the errors

        def end(v):
            return np.percentile(v.astype(np.float64), tails(percent), axis=-1, keepdims=True, method=method)

        if symmetric and magnitude:
            ends = [-end(np.abs(groups)), end(np.abs(groups))]
        else:
            ends = [-end(-groups), end(groups)]
        ends = np.concatenate(ends, axis=-1).astype(np.float32)
        return refq.minmax(ends, qmin, qmax, symmetric, scale_dtype)

    return percentile


def _in_float32(groups, qmin, qmax, symmetric=True, scale_dtype="float32", percent=99.9):
    refq.percentile(groups, qmin, qmax, symmetric, scale_dtype, percent)

    def end(v):
        v, place = np.sort(v, axis=-1), np.float32((v.shape[-1] - 1) * percent / 100)
        below = int(place)
        low, high = v[..., below, None], v[..., min(below + 1, v.shape[-1] - 1), None]
        return low + (place - np.float32(below)) * (high - low)

    ends = [-end(np.abs(groups)), end(np.abs(groups))] if symmetric else [-end(-groups), end(groups)]
    return refq.minmax(np.concatenate(ends, axis=-1), qmin, qmax, symmetric, scale_dtype)


def _without_zero(groups, qmin, qmax, symmetric=True, scale_dtype="float32", percent=99.9):
    scale, zero_point = refq.percentile(groups, qmin, qmax, symmetric, scale_dtype, percent)
    if symmetric:
        return scale, zero_point
    lo, hi = np.percentile(groups, [100 - percent, percent], axis=-1)[..., None]
    step = ((hi - lo) / (qmax - qmin)).astype(np.float32)
    return np.where(step > 0, step, scale), zero_point


WRONG = {
    "no interpolation, lower": _wrong("lower"),
    "no interpolation, higher": _wrong("higher"),
    "no interpolation, nearest": _wrong("nearest"),
    "another interpolation": _wrong("weibull"),
    "both tails share what is left out": _wrong(tails=lambda percent: 50 + percent / 2),
    "larger of both ends": _wrong(magnitude=False),
    "interpolation in float32": _in_float32,
    "0 not forced inside": _without_zero,
    "minmax": lambda percent=99.9, **rest: (refq.percentile(percent=percent, **rest), refq.minmax(**rest))[1],
}
