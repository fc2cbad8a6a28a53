"""Laws of os_scale."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import test_os_shift
from tests.support import both


@st.composite
def arguments(draw):
    return draw(test_os_shift.arguments()) | {"threshold": draw(st.sampled_from([0.1, 0.3, 0.5, 1.0, 2.0]))}


@both
@given(arguments())
def test_nothing_exceeds_the_threshold(engine, arguments):
    scale = engine.os_scale(**arguments)
    assert scale.dtype == np.float32
    for end in (arguments["minimum"], arguments["maximum"]):
        assert (np.abs(end / scale) <= np.float32(arguments["threshold"]) * np.float32(1 + 2**-22)).all()


@both
@given(arguments())
def test_channels_below_it_are_left_alone(engine, arguments):
    below = np.maximum(-arguments["minimum"], arguments["maximum"]) <= np.float32(arguments["threshold"])
    np.testing.assert_array_equal(engine.os_scale(**arguments) == 1, below)


@both
@given(arguments())
def test_the_other_way_round(engine, arguments):
    turned = engine.os_scale(-arguments["maximum"], -arguments["minimum"], arguments["threshold"])
    np.testing.assert_array_equal(turned, engine.os_scale(**arguments))


@both
@given(arguments(), st.sampled_from([0.25, 8.0]))
def test_powers_of_two_change_nothing(engine, arguments, factor):
    scaled = [arguments["minimum"] * np.float32(factor), arguments["maximum"] * np.float32(factor)]
    found = engine.os_scale(*scaled, arguments["threshold"] * factor)
    np.testing.assert_array_equal(found, engine.os_scale(**arguments))


def _wrong(scale):
    def os_scale(minimum, maximum, threshold):
        refq.os_scale(minimum, maximum, threshold)
        return scale(minimum, maximum, np.float32(threshold)).astype(np.float32)

    return os_scale


WRONG = {
    "the maximum alone": _wrong(lambda lo, hi, t: np.maximum(hi / t, 1)),
    "the minimum alone": _wrong(lambda lo, hi, t: np.maximum(-lo / t, 1)),
    "the width": _wrong(lambda lo, hi, t: np.maximum((hi - lo) / t, 1)),
    "all channels": _wrong(lambda lo, hi, t: np.maximum(-lo, hi) / t),
    "the sign of the minimum kept": _wrong(lambda lo, hi, t: np.maximum(np.maximum(hi / t, lo / t), 1)),
    "the inverse": _wrong(lambda lo, hi, t: np.minimum(t / np.maximum(np.maximum(-lo, hi), t), 1)),
    "times the reciprocal": _wrong(lambda lo, hi, t: np.maximum(np.maximum(-lo, hi) * (1 / t), 1)),
}
