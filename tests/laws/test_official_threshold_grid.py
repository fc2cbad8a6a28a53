"""Laws of official_threshold_grid."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import channels
from tests.support import both


@st.composite
def arguments(draw):
    return {"maximum": draw(channels.maxima()), "ratio": draw(st.sampled_from([0.0, 0.2, 0.5, 1.0, 3.0]))}


def _extra(maximum, threshold):
    return np.maximum(np.ceil(maximum.astype(np.float64) / np.float64(threshold)), 1).sum() - len(maximum)


@both
@given(arguments())
def test_few_channels_are_added_more_each_time(engine, arguments):
    maximum, thresholds = arguments["maximum"], engine.official_threshold_grid(**arguments)
    assert thresholds.dtype == np.float32
    extra = [_extra(maximum, t) for t in thresholds]
    assert extra == sorted(set(extra))
    assert all(0 < e <= arguments["ratio"] * len(maximum) for e in extra)


@both
@given(arguments())
def test_they_fall(engine, arguments):
    thresholds = engine.official_threshold_grid(**arguments)
    assert (np.diff(thresholds) < 0).all()
    assert (thresholds < max(arguments["maximum"].max(), 1e-30)).all()


@both
@given(arguments())
def test_a_higher_ratio_only_adds(engine, arguments):
    few = engine.official_threshold_grid(**arguments)
    more = engine.official_threshold_grid(arguments["maximum"], arguments["ratio"] + 0.5)
    np.testing.assert_array_equal(more[: len(few)], few)


def wrong_descent(first=1, steps=lambda hi: max(100, int(hi / 0.5)), lowest=None, strict=False, every=False):
    """The descent with another first step, number of steps, lowest end, limit, or without leaving any out."""

    def official_threshold_grid(maximum, ratio=0.2):
        refq.official_threshold_grid(maximum, ratio)
        lo, hi = np.float64(maximum.min() if lowest is None else lowest), np.float64(maximum.max())
        n, before, found = steps(float(hi)), -1 if first == 0 else 0, []
        for k in range(first, n + 1):
            t = np.maximum((hi * (n - k) + lo * k) / n, 2.0**-126).astype(np.float32)
            extra = _extra(maximum, t)
            if extra > ratio * len(maximum) or (strict and extra == ratio * len(maximum)):
                break
            if every or extra != before:
                found.append(t)
            before = extra
        return np.array(found, np.float32)

    return official_threshold_grid


WRONG = {
    "the largest maximum too": wrong_descent(first=0),
    "always 100 steps": wrong_descent(steps=lambda hi: 100),
    "steps rounded up": wrong_descent(steps=lambda hi: max(100, int(np.ceil(hi / 0.5)))),
    "down to 0": wrong_descent(lowest=0),
    "as many channels as the ratio refused": wrong_descent(strict=True),
    "every threshold": wrong_descent(every=True),
}
