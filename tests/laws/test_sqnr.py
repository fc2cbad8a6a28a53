"""Laws of sqnr."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws.rules import check_a_grid_with_zero_on_it, check_float64_is_kept
from tests.support import both, range_arguments, range_edges, squared_error


def arguments():
    gamma = st.sampled_from([0.5, 1.0, 3.0])
    return st.tuples(range_arguments(), gamma).map(lambda both: both[0] | {"gamma": both[1]})


def edges():
    shapes = [(1, 1), (63, 5), (65, 33), (2, 64, 3), (3, 2049), (130, 1)]
    return (arguments | {"gamma": 3.0} for arguments in range_edges(shapes))


def centres(x):
    """Values whose bins are so narrow that each lies near its centre: the cost is the squared error."""
    lo, hi = x.min(axis=-1, keepdims=True), x.max(axis=-1, keepdims=True)
    width = (hi - lo) / np.float32(2048)
    bins = np.minimum(np.floor((x - lo) / np.where(width == 0, 1, width)), np.float32(2047))
    return np.where(width == 0, x, (lo + width / 2) + bins * width).astype(np.float32)


@both
@given(range_arguments())
def test_never_worse_than_minmax(engine, arguments):
    x, limits = centres(arguments["groups"]), (arguments["qmin"], arguments["qmax"])
    found, plain = engine.sqnr(**arguments, gamma=1.0), engine.minmax(**arguments)
    assert (squared_error(x, *found, *limits) <= squared_error(x, *plain, *limits)).all()


@both
@given(range_arguments())
def test_a_larger_gamma_clips_less(engine, arguments):
    x, limits = centres(arguments["groups"]), (arguments["qmin"], arguments["qmax"])

    def clipped(gamma):
        scale, zero_point = engine.sqnr(**arguments, gamma=gamma)
        u = np.rint(x / scale) + zero_point
        error = (refq.fake_quantize(x, scale, zero_point, *limits).astype(np.float64) - x) ** 2
        return np.where(np.clip(u, *limits) == u, 0, error).sum(axis=-1)

    assert (clipped(8.0) <= clipped(0.125) * (1 + 1e-9)).all()


@both
@given(arguments())
def test_a_grid_with_zero_on_it(engine, arguments):
    check_a_grid_with_zero_on_it(engine.sqnr, arguments)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    check_float64_is_kept(engine, "sqnr", arguments)


@both
def test_the_gaussian_optimum(engine):
    x = np.random.default_rng(0).standard_normal((1, 100_000)).astype(np.float32)
    (plain, _), (one, _), (three, _) = engine.minmax(x, -8, 7), engine.sqnr(x, -8, 7, gamma=1.0), engine.sqnr(x, -8, 7)
    assert abs(one.item() - 0.335) < 0.015  # Max 1960: 0.335 for 16 levels, placed in the middle
    assert one < three < plain


def _wrong(*names):
    """A search that goes wrong in the named places."""

    def sqnr(groups, qmin, qmax, symmetric=True, scale_dtype="float32", gamma=3.0):
        refq.sqnr(groups, qmin, qmax, symmetric, scale_dtype, gamma)  # for the errors
        stored = "float32" if "late" in names else scale_dtype
        c = groups if "values" in names else centres(groups)
        grids = list(_grids(groups, qmin, qmax, symmetric, stored, names))
        costs = [_cost(c, *grid, qmin, qmax, gamma, names) for grid in grids]
        best = np.argmin(np.stack(costs), axis=0)[None]
        scale, zero_point = (np.take_along_axis(np.stack(v), best, axis=0)[0] for v in zip(*grids, strict=True))
        if "late" in names and scale_dtype == "float16":
            scale = np.where(groups.any(axis=-1, keepdims=True), refq.float16_scale(scale), scale)
        return scale, zero_point

    return sqnr


def _grids(groups, qmin, qmax, symmetric, stored, names):
    lo = np.minimum(groups.min(axis=-1, keepdims=True), 0)
    hi = np.maximum(groups.max(axis=-1, keepdims=True), 0)
    n, tiny = qmax - qmin, np.float32(1e-45)
    if "no minmax" not in names:
        yield refq.minmax(groups, qmin, qmax, symmetric, stored)
    if symmetric:
        widest = np.maximum(-lo, hi) / np.float32(n) * np.float32(2)
        for i in range(1, 92 if "fewer" in names else 102):
            scale = widest * np.float32(i) / np.float32(100)
            scale = refq.float16_scale(scale) if stored == "float16" else np.maximum(scale, tiny)
            yield scale, np.zeros(scale.shape, np.int32)
        return
    w = np.maximum((hi - lo) / np.float32(n), tiny)
    seen = np.clip(np.rint(lo / w), -n, 0)
    low, high, m = w * seen, w * seen + w * np.float32(n), min(n, 19)
    places = [] if "one place" in names else [np.full_like(seen, np.rint(k * n / m) - n) for k in range(m + 1)]
    for j in range(1, 18):
        for k in [*places, seen]:
            d = w * np.float32(j / 16)
            ends = [d * k, d * k + d * np.float32(n)]
            if "uncut" not in names:
                ends = [np.maximum(ends[0], low), np.minimum(ends[1], high)]
            yield refq.minmax(np.concatenate(ends, axis=-1), qmin, qmax, False, stored)


def _cost(c, scale, zero_point, qmin, qmax, gamma, names):
    z = zero_point.astype(np.float32)
    u = np.rint(c / scale) + z
    clipped = np.clip(u, qmin, qmax) != u
    if "by value" in names:
        clipped = (c < (np.float32(qmin) - z) * scale) | (c > (np.float32(qmax) - z) * scale)
    weight = 1.0 if "unweighted" in names else gamma * gamma if "squared" in names else gamma
    error = refq.fake_quantize(c, scale, zero_point, qmin, qmax).astype(np.float64) - c
    return np.cumsum(error * error * np.where(clipped, weight, 1.0), axis=-1)[..., -1:]


WRONG = {
    "values in place of bin centres": _wrong("values"),
    "min-max is no candidate": _wrong("no minmax"),
    "clipping not weighted": _wrong("unweighted"),
    "weight squared": _wrong("squared"),
    "clipped where the value is off the range": _wrong("by value"),
    "ninety candidates": _wrong("fewer"),
    "scale rounded after the search": _wrong("late"),
    "only the observed place": _wrong("one place"),
    "ranges not cut": _wrong("uncut"),
    "minmax": lambda gamma=3.0, **rest: (refq.sqnr(gamma=gamma, **rest), refq.minmax(**rest))[1],
}
