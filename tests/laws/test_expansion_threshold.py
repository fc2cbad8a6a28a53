"""Laws of expansion_threshold."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import channels
from tests.laws.test_official_threshold_grid import wrong_descent
from tests.support import both


@st.composite
def arguments(draw):
    return {"maximum": draw(channels.maxima(1)), "ratio": draw(st.sampled_from([0.0, 0.2, 0.5, 1.0, 3.0]))}


def _extra(maximum, threshold):
    return int(refq.channel_splits(maximum, float(threshold)).sum()) - len(maximum)


@both
@given(arguments())
def test_few_channels_are_added(engine, arguments):
    threshold = engine.expansion_threshold(**arguments)
    assert threshold.dtype == np.float32
    assert _extra(arguments["maximum"], threshold) <= arguments["ratio"] * len(arguments["maximum"])


@both
@given(arguments())
def test_it_falls_as_the_ratio_rises(engine, arguments):
    more = engine.expansion_threshold(arguments["maximum"], arguments["ratio"] + 0.5)
    assert more <= engine.expansion_threshold(**arguments)


@both
@given(arguments())
def test_it_adds_as_many_as_the_last_of_the_list(engine, arguments):
    listed = engine.official_threshold_grid(**arguments)
    threshold = engine.expansion_threshold(**arguments)
    last = _extra(arguments["maximum"], listed[-1]) if len(listed) else 0
    assert _extra(arguments["maximum"], threshold) == last
    assert len(listed) == 0 or threshold <= listed[-1]


def _wrong(take=-1, **changes):
    def expansion_threshold(maximum, ratio):
        descent = wrong_descent(every=True, **changes)(maximum, ratio)
        start = np.float32(max(maximum.max(), 2.0**-126))
        return [start, *descent][take]

    return expansion_threshold


def _one_step_too_far(maximum, ratio):
    descent, least = wrong_descent(every=True)(maximum, 1e9), refq.expansion_threshold(maximum, ratio)
    below = descent[descent < least]
    return below[0] if len(below) else least


WRONG = {
    "the step that is too far": _one_step_too_far,
    "two steps back": lambda maximum, ratio: np.float32(
        [maximum.max(), maximum.max(), *wrong_descent(every=True)(maximum, ratio)][-2]
    ),
    "always 100 steps": _wrong(steps=lambda hi: 100),
    "down to 0": _wrong(lowest=0),
    "the last one listed": lambda maximum, ratio: np.float32(
        [maximum.max(), *refq.official_threshold_grid(maximum, ratio)][-1]
    ),
    "as many channels as the ratio refused": _wrong(strict=True),
}
