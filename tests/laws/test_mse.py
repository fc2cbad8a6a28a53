"""Laws of mse."""

import numpy as np
from hypothesis import given

import refq
from tests.laws.rules import check_a_grid_with_zero_on_it, check_float64_is_kept
from tests.support import both, range_arguments, range_edges, squared_error

arguments = range_arguments


def edges():
    return range_edges([(1, 1), (63, 5), (65, 33), (2, 64, 3), (3, 2049), (130, 1)])


@both
@given(arguments())
def test_never_worse_than_minmax(engine, arguments):
    x, limits = arguments["groups"], (arguments["qmin"], arguments["qmax"])
    found, plain = engine.mse(**arguments), engine.minmax(**arguments)
    assert (squared_error(x, *found, *limits) <= squared_error(x, *plain, *limits)).all()


@both
@given(arguments())
def test_no_shrunken_range_is_better(engine, arguments):
    x, limits = arguments["groups"], (arguments["qmin"], arguments["qmax"])
    least = squared_error(x, *engine.mse(**arguments), *limits)
    ends = np.concatenate([x.min(axis=-1, keepdims=True), x.max(axis=-1, keepdims=True)], axis=-1)
    for percent in (100, 90, 75, 50, 33, 21):
        grid = refq.minmax(**arguments | {"groups": ends * np.float32(percent / 100)})
        assert (least <= squared_error(x, *grid, *limits)).all()


@both
@given(arguments())
def test_a_grid_with_zero_on_it(engine, arguments):
    check_a_grid_with_zero_on_it(engine.mse, arguments)


@both
@given(arguments())
def test_a_power_of_two_scales_the_scale(engine, arguments):
    arguments["scale_dtype"] = "float32"
    arguments["groups"] = np.where(np.abs(arguments["groups"]) < 1e-15, 0, arguments["groups"])
    scale, zero_point = engine.mse(**arguments)
    zeros = ~arguments["groups"].any(axis=-1, keepdims=True)
    arguments["groups"] = arguments["groups"] * np.float32(8)
    np.testing.assert_equal(engine.mse(**arguments), (np.where(zeros, 1, scale * np.float32(8)), zero_point))


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    check_float64_is_kept(engine, "mse", arguments)


def wrong_search(
    power=2.0, last=False, steps=80, late=False, ends="both", sum=lambda e: np.cumsum(e, axis=-1)[..., -1:]
):
    """A search that goes wrong in one place."""

    def mse(groups, qmin, qmax, symmetric=True, scale_dtype="float32"):
        plain = refq.minmax(groups, qmin, qmax, symmetric, scale_dtype)
        lo = np.minimum(groups.min(axis=-1, keepdims=True), 0)
        hi = np.maximum(groups.max(axis=-1, keepdims=True), 0)
        best, least = plain, np.full(lo.shape, np.inf)
        for step in range(steps):
            p = np.float32((100 - step) / 100)
            cut = np.concatenate([lo * (p if ends != "high" else 1), hi * (p if ends != "low" else 1)], axis=-1)
            grid = refq.minmax(cut.astype(np.float32), qmin, qmax, symmetric, "float32" if late else scale_dtype)
            error = np.abs(refq.fake_quantize(groups, *grid, qmin, qmax).astype(np.float64) - groups)
            cost = sum(error**power)
            better = cost <= least if last else cost < least
            least = np.where(better, cost, least)
            best = tuple(np.where(better, new, old) for new, old in zip(grid, best, strict=True))
        if late and scale_dtype == "float16":
            return np.where(groups.any(axis=-1, keepdims=True), refq.float16_scale(best[0]), best[0]), best[1]
        return best

    return mse


def _of_a_tensor(groups, **rest):
    found = refq.mse(groups.reshape(1, -1), **rest)
    return tuple(np.broadcast_to(v.reshape(()), (*groups.shape[:-1], 1)) for v in found)


WRONG = {
    "power 2.4, as GPTQ": wrong_search(2.4),
    "absolute error": wrong_search(1.0),
    "the last of equal ones": wrong_search(last=True),
    "79 candidates": wrong_search(steps=79),
    "half of the candidates": wrong_search(steps=40),
    "only hi shrinks": wrong_search(ends="high"),
    "scale rounded after the search": wrong_search(late=True),
    "minmax": lambda **arguments: refq.minmax(**arguments),
    "one grid for all groups": _of_a_tensor,
}
