"""Laws of awq_scale."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import channels
from tests.laws.operations import assert_float64_is_kept
from tests.support import both


@st.composite
def arguments(draw):
    return {"x_mean": draw(channels.maxima()) / np.float32(7), "ratio": draw(st.sampled_from([0.0, 0.05, 0.5, 0.95]))}


@both
@given(arguments())
def test_largest_times_smallest_is_1(engine, arguments):
    scale = engine.awq_scale(**arguments)
    assert scale.dtype == np.float32
    assert abs(scale.max() * scale.min() - 1) <= 1e-6


@both
@given(arguments())
def test_a_ratio_of_0_scales_nothing(engine, arguments):
    assert (engine.awq_scale(arguments["x_mean"], 0.0) == 1).all()


@both
@given(arguments(), st.sampled_from([0.3, 8.0]))
def test_the_unit_of_the_means_does_not_matter(engine, arguments, factor):
    mean = arguments["x_mean"] + np.float32(0.5)
    scaled = engine.awq_scale(mean * np.float32(factor), arguments["ratio"])
    np.testing.assert_allclose(scaled, engine.awq_scale(mean, arguments["ratio"]), rtol=1e-6)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.awq_scale, arguments)


def _wrong(normalise=lambda s: np.sqrt(s.max() * s.min()), power=lambda x, r: x**r, least=1e-4):
    def awq_scale(x_mean, ratio):
        refq.awq_scale(x_mean, ratio)
        s = np.maximum(power(x_mean.astype(np.float64), ratio), least)
        return (s / normalise(s)).astype(np.float32)

    return awq_scale


WRONG = {
    "not normalised": _wrong(lambda s: 1),
    "normalised by the largest": _wrong(np.max),
    "normalised by the mean": _wrong(np.mean),
    "normalised by all": _wrong(lambda s: np.exp(np.log(s).mean())),
    "no root": _wrong(lambda s: s.max() * s.min()),
    "the inverse": _wrong(power=lambda x, r: np.maximum(x, 1e-4) ** -r),
    "1 - ratio": _wrong(power=lambda x, r: x ** (1 - r)),
    "a limit of 1e-5": _wrong(least=1e-5),
    "the mean limited": _wrong(power=lambda x, r: np.maximum(x, 1e-4) ** r),
}
