"""Laws of channel_distance."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import channels
from tests.laws.operations import assert_float64_is_kept
from tests.support import both

arguments = channels.layers


def _most(arguments):
    """The largest distance that there could be."""
    x, w = (a.astype(np.float64) for a in arguments.values())
    return (x**2).sum(axis=0).max() * (w**2).sum(axis=0).max() * 4 + 1e-30


@both
@given(arguments())
def test_it_is_the_error_of_the_merged_layer(engine, arguments):
    x, w = (a.astype(np.float64) for a in arguments.values())
    distance = engine.channel_distance(**arguments)
    for i in range(x.shape[1]):
        for j in range(i):
            merged = np.outer(x[:, i] + x[:, j], w[:, i] + w[:, j]) / 2
            error = ((np.outer(x[:, i], w[:, i]) + np.outer(x[:, j], w[:, j]) - merged) ** 2).sum()
            assert abs(distance[i, j] - error) <= channels.BOUND * _most(arguments)


@both
@given(arguments())
def test_symmetric_and_at_least_0(engine, arguments):
    distance = engine.channel_distance(**arguments)
    np.testing.assert_array_equal(distance, distance.T)
    assert (distance >= 0).all()
    assert not distance.diagonal().any()


@both
@given(arguments(), st.sampled_from([0.5, 4.0]))
def test_a_factor_of_x_is_squared(engine, arguments, factor):
    scaled = engine.channel_distance(arguments["x"] * np.float32(factor), arguments["w"])
    np.testing.assert_array_equal(scaled, engine.channel_distance(**arguments) * np.float32(factor**2))


@both
@given(arguments())
def test_equal_columns_cost_nothing(engine, arguments):
    x, w = arguments["x"], np.repeat(arguments["w"][:, :1], arguments["w"].shape[1], axis=1)
    assert (engine.channel_distance(x, w) <= 2.0**-40 * _most(arguments)).all()


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.channel_distance, arguments)


def wrong(function):
    """A distance of all pairs from function(dx, dw, x, w), with dx and dw the differences (n, channels, channels)."""

    def channel_distance(x, w):
        refq.channel_distance(x, w)
        x64, w64 = x.astype(np.float64), w.astype(np.float64)
        dx, dw = (a[:, :, None] - a[:, None, :] for a in (x64, w64))
        with np.errstate(over="ignore"):
            return function(dx, dw, x64, w64).astype(x.dtype)

    return channel_distance


def _square(d):
    return (d**2).sum(axis=0)


def _in_float32(x, w):
    refq.channel_distance(x, w)
    squares = []
    for a in (x, w):
        products = a.T @ a
        squares.append(np.maximum(products.diagonal()[:, None] + products.diagonal() - 2 * products, 0))
    return squares[0] * squares[1] / np.float32(4)


WRONG = {
    "not divided by 4": wrong(lambda dx, dw, x, w: _square(dx) * _square(dw)),
    "divided by 2": wrong(lambda dx, dw, x, w: _square(dx) * _square(dw) / 2),
    "the root": wrong(lambda dx, dw, x, w: np.sqrt(_square(dx) * _square(dw) / 4)),
    "x alone": wrong(lambda dx, dw, x, w: _square(dx)),
    "mean over tokens": wrong(lambda dx, dw, x, w: _square(dx) * _square(dw) / 4 / len(x)),
    "sum of the squares of both": wrong(lambda dx, dw, x, w: _square(dx) + _square(dw)),
    "absolute differences": wrong(lambda dx, dw, x, w: (np.abs(dx).sum(0) * np.abs(dw).sum(0) / 2) ** 2),
    "the program's score": lambda x, w: refq.official_channel_score(x, w),
    "cancelled in float32": _in_float32,
}
