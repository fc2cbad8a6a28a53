"""Laws of os_thresholds."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import channels
from tests.support import both


@st.composite
def arguments(draw):
    return {"maximum": draw(channels.maxima()), "floor": draw(st.sampled_from([0.1, 1.0, 3.0, 50.0]))}


@both
@given(arguments())
def test_from_the_largest_to_the_floor(engine, arguments):
    thresholds, top = engine.os_thresholds(**arguments), arguments["maximum"].max()
    assert thresholds.dtype == np.float32
    assert thresholds[0] == max(top, np.float32(arguments["floor"]))
    assert thresholds[-1] == np.float32(arguments["floor"])
    assert (np.diff(thresholds) <= 0).all()


@both
@given(arguments())
def test_the_first_one_scales_nothing(engine, arguments):
    maximum = arguments["maximum"]
    first = engine.os_thresholds(**arguments)[0]
    assert (refq.os_scale(-maximum, maximum, float(first)) == 1).all()


@both
@given(arguments())
def test_a_hundred_steps_or_steps_of_nearly_a_half(engine, arguments):
    thresholds = engine.os_thresholds(**arguments)
    assert len(thresholds) == 1 or len(thresholds) >= 101
    widest = max((float(thresholds[0]) - arguments["floor"]) / 100, 0) if thresholds[0] < 50 else 0.505
    assert (-np.diff(thresholds.astype(np.float64)) <= widest + 1e-4).all()


def _wrong(steps=lambda t: max(100, int(t / 0.5)), first=0, last=0, bottom=lambda f: f, real=np.float64, turn=1):
    def os_thresholds(maximum, floor=0.1):
        found = refq.os_thresholds(maximum, floor)
        top, low = real(maximum.max()), bottom(real(np.float32(floor)))
        if top <= np.float32(floor):
            return found
        n = steps(float(top))
        k = np.arange(first, n + 1 + last).astype(real)
        return ((top * (real(n) - k) + low * k) / real(n)).astype(np.float32)[::turn]

    return os_thresholds


WRONG = {
    "always 100 steps": _wrong(steps=lambda t: 100),
    "steps rounded up": _wrong(steps=lambda t: max(100, int(np.ceil(t / 0.5)))),
    "without the largest": _wrong(first=1),
    "without the floor": _wrong(last=-1),
    "down to 0": _wrong(bottom=lambda f: f * 0),
    "ascending": _wrong(turn=-1),
    "in float32": _wrong(real=np.float32),
    "the largest where it is below the floor": lambda maximum, floor: np.minimum(
        refq.os_thresholds(maximum, floor), maximum.max()
    ),
}
