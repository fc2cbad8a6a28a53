"""Laws of channel_splits."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.support import both, int_arrays


@st.composite
def arguments(draw):
    threshold = draw(st.sampled_from([0.1, 1 / 3, 1.0, 2.5, 7.0]))
    steps = draw(int_arrays((draw(st.integers(1, 9)),), 0, 40)) / 2
    return {"maximum": (steps * threshold).astype(np.float32), "threshold": threshold}


@both
@given(arguments())
def test_no_part_exceeds_the_threshold(engine, arguments):
    counts = engine.channel_splits(**arguments)
    assert counts.dtype == np.int32
    assert (arguments["maximum"] / counts.astype(np.float32) <= np.float32(arguments["threshold"])).all()


@both
@given(arguments())
def test_one_part_less_would_exceed_it(engine, arguments):
    counts = engine.channel_splits(**arguments).astype(np.float64)
    fewer = arguments["maximum"].astype(np.float64) > np.float64(np.float32(arguments["threshold"])) * (counts - 1)
    assert (fewer | (counts == 1)).all()


@both
@given(arguments())
def test_a_threshold_that_nothing_exceeds_splits_nothing(engine, arguments):
    maximum = arguments["maximum"]
    assert (engine.channel_splits(maximum, max(float(maximum.max()), 1e-3)) == 1).all()


@both
@given(arguments(), st.sampled_from([0.25, 8.0]))
def test_powers_of_two_change_nothing(engine, arguments, factor):
    scaled = {"maximum": arguments["maximum"] * np.float32(factor), "threshold": arguments["threshold"] * factor}
    np.testing.assert_array_equal(engine.channel_splits(**scaled), engine.channel_splits(**arguments))


def _wrong(count):
    def channel_splits(maximum, threshold):
        refq.channel_splits(maximum, threshold)
        return count(maximum, np.float32(threshold)).astype(np.int32)

    return channel_splits


WRONG = {
    "rounded down": _wrong(lambda m, t: np.maximum(np.floor(m.astype(np.float64) / t), 1)),
    "always one more": _wrong(lambda m, t: np.floor(m.astype(np.float64) / t) + 1),
    "to the nearest": _wrong(lambda m, t: np.maximum(np.rint(m.astype(np.float64) / t), 1)),
    "quotient in float32": _wrong(lambda m, t: np.maximum(np.ceil(m / t), 1)),
    "no copies of small channels": _wrong(lambda m, t: np.ceil(m.astype(np.float64) / t)),
}
