"""Laws of official_channel_score."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import channels
from tests.laws.operations import assert_float64_is_kept
from tests.laws.test_channel_distance import wrong
from tests.support import both

arguments = channels.layers


@both
@given(arguments())
def test_symmetric_and_at_least_0(engine, arguments):
    score = engine.official_channel_score(**arguments)
    np.testing.assert_array_equal(score, score.T)
    assert (score >= 0).all()
    assert not score.diagonal().any()


@both
@given(arguments(), st.sampled_from([0.5, 4.0]))
def test_factors_are_squared(engine, arguments, factor):
    factor = np.float32(factor)
    expected = engine.official_channel_score(**arguments) * factor**2
    np.testing.assert_array_equal(engine.official_channel_score(arguments["x"] * factor, arguments["w"]), expected)
    np.testing.assert_array_equal(engine.official_channel_score(arguments["x"], arguments["w"] * factor), expected)


@both
@given(arguments())
def test_which_output_has_the_weight_does_not_matter(engine, arguments):
    w = np.concatenate([arguments["w"], arguments["w"][::-1]])
    moved = np.concatenate([arguments["w"] * np.float32(2), np.zeros_like(arguments["w"])])
    expected = engine.official_channel_score(arguments["x"], w)
    scale = 4 * np.abs(w).sum(axis=0, dtype=np.float64).max() ** 2 * (arguments["x"].astype(np.float64) ** 2).sum()
    found = engine.official_channel_score(arguments["x"], moved)
    np.testing.assert_allclose(found, expected, atol=channels.BOUND * scale)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.official_channel_score, arguments)


def _sums(w, of=lambda a: a):
    s = of(w).sum(axis=0)
    return s[:, None] + s


WRONG = {
    "not squared": wrong(lambda dx, dw, x, w: np.abs(_sums(w)) * np.sqrt((dx**2).sum(0))),
    "sums not squared": wrong(lambda dx, dw, x, w: np.abs(_sums(w)) * (dx**2).sum(0)),
    "sizes of weights": wrong(lambda dx, dw, x, w: _sums(w, np.abs) ** 2 * (dx**2).sum(0)),
    "differences of weights": wrong(lambda dx, dw, x, w: dw.sum(0) ** 2 * (dx**2).sum(0)),
    "one sum alone": wrong(lambda dx, dw, x, w: w.sum(0) ** 2 * (dx**2).sum(0)),
    "the paper's distance": lambda x, w: refq.channel_distance(x, w),
}
