"""Laws of threshold_grid."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import channels
from tests.support import both


@st.composite
def arguments(draw):
    return {
        "maximum": draw(channels.maxima()),
        "points": draw(st.integers(1, 12)),
        "ratio": draw(st.sampled_from([None, None, 0.0, 0.2, 1.0])),
    }


def _extra(maximum, threshold):
    return int(refq.channel_splits(maximum, float(threshold)).sum()) - len(maximum)


@both
@given(arguments())
def test_the_last_one_splits_nothing(engine, arguments):
    thresholds = engine.threshold_grid(**arguments)
    assert thresholds.dtype == np.float32
    assert _extra(arguments["maximum"], thresholds[-1]) == 0
    assert (np.diff(thresholds) >= 0).all()


@both
@given(arguments())
def test_few_channels_are_added(engine, arguments):
    maximum, ratio = arguments["maximum"] + np.float32(0.5), arguments["ratio"]
    thresholds = engine.threshold_grid(**(arguments | {"maximum": maximum}))
    if ratio is None:
        assert len(thresholds) == arguments["points"]
    else:
        assert all(_extra(maximum, t) <= ratio * len(maximum) for t in thresholds)


@both
@given(arguments())
def test_every_second_of_twice_as_many(engine, arguments):
    arguments["ratio"] = None
    twice = engine.threshold_grid(**(arguments | {"points": 2 * arguments["points"]}))
    np.testing.assert_allclose(twice[1::2], engine.threshold_grid(**arguments), rtol=2.0**-23)


@both
@given(arguments(), st.sampled_from([0.25, 8.0]))
def test_powers_of_two_scale_it(engine, arguments, factor):
    scaled = arguments | {"maximum": (arguments["maximum"] + np.float32(0.5)) * np.float32(factor)}
    plain = arguments | {"maximum": arguments["maximum"] + np.float32(0.5)}
    np.testing.assert_array_equal(engine.threshold_grid(**scaled), engine.threshold_grid(**plain) * np.float32(factor))


def _wrong(shift=0, lowest=None, real=np.float64, ratio=lambda r: r, ascending=True):
    def threshold_grid(maximum, points, ratio_=None, **more):
        share = ratio(more.get("ratio", ratio_))
        refq.threshold_grid(maximum, points, share)
        lo, hi = real(maximum.min() if lowest is None else lowest), real(maximum.max())
        p = np.arange(1 - shift, points + 1 - shift).astype(real)
        t = np.maximum((lo * (real(points) - p) + hi * p) / real(points), 2.0**-126).astype(np.float32)
        if share is not None:
            t = np.array([v for v in t if _extra(maximum, v) <= share * len(maximum)], np.float32)
        return t if ascending else t[::-1]

    return lambda maximum, points, ratio: threshold_grid(maximum, points, ratio=ratio)


WRONG = {
    "from the smallest on, without the largest": _wrong(shift=1),
    "from 0 on": _wrong(lowest=0),
    "in float32": _wrong(real=np.float32),
    "descending": _wrong(ascending=False),
    "ratio ignored": _wrong(ratio=lambda r: None),
    "as many channels as the ratio refused": _wrong(ratio=lambda r: r and r * 0.999),
}
