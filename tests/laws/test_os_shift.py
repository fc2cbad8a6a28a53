"""Laws of os_shift."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws.operations import tenths
from tests.support import both


@st.composite
def arguments(draw):
    ends = draw(tenths((2, draw(st.integers(1, 6)))))
    return {"minimum": ends.min(axis=0), "maximum": ends.max(axis=0)}


@both
@given(arguments())
def test_as_far_on_both_sides(engine, arguments):
    lo, hi = arguments.values()
    shift = engine.os_shift(**arguments)
    assert shift.dtype == np.float32
    np.testing.assert_allclose(hi - shift, shift - lo, atol=1e-6)


@both
@given(arguments())
def test_between_the_ends(engine, arguments):
    shift = engine.os_shift(**arguments)
    assert (arguments["minimum"] <= shift).all()
    assert (shift <= arguments["maximum"]).all()


@both
@given(arguments())
def test_the_other_way_round(engine, arguments):
    turned = engine.os_shift(-arguments["maximum"], -arguments["minimum"])
    np.testing.assert_array_equal(turned, -engine.os_shift(**arguments))


@both
@given(arguments())
def test_no_width_no_rounding(engine, arguments):
    np.testing.assert_array_equal(engine.os_shift(arguments["minimum"], arguments["minimum"]), arguments["minimum"])


def _wrong(shift):
    def os_shift(minimum, maximum):
        refq.os_shift(minimum, maximum)
        with np.errstate(all="ignore"):
            return shift(minimum, maximum).astype(np.float32)

    return os_shift


WRONG = {
    "half the width": _wrong(lambda lo, hi: hi / 2 - lo / 2),
    "the sum": _wrong(lambda lo, hi: lo + hi),
    "the sum first": _wrong(lambda lo, hi: (lo + hi) / np.float32(2)),
    "the minimum": _wrong(lambda lo, hi: lo),
    "the larger end": _wrong(lambda lo, hi: np.maximum(-lo, hi)),
    "one for all channels": _wrong(lambda lo, hi: np.full_like(lo, lo.min() / 2 + hi.max() / 2)),
}
