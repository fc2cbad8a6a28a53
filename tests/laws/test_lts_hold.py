"""Laws of lts_hold."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.laws.operations import assert_float64_is_kept, tenths
from tests.support import both, int_arrays, shapes


@st.composite
def arguments(draw):
    shape = draw(shapes())
    return {
        "w": draw(tenths(shape)),
        "before": draw(tenths(shape)),
        "frozen": draw(int_arrays(shape, 0, 1, bool)),
    }


@both
@given(arguments())
def test_each_is_one_of_the_two(engine, arguments):
    w, frozen = engine.lts_hold(**arguments), arguments["frozen"]
    np.testing.assert_array_equal(w[frozen], arguments["before"][frozen])
    np.testing.assert_array_equal(w[~frozen], arguments["w"][~frozen])


@both
@given(arguments())
def test_a_frozen_weight_never_changes_whatever_the_optimizer_does(engine, arguments):
    w, frozen, velocity = arguments["before"], arguments["frozen"], arguments["w"]
    q = engine.quantize(w, 0.3, 0, -8, 7)
    for step in range(4):
        moved, velocity = engine.sgd(w, arguments["w"] * step, velocity, 0.5, weight_decay=0.1)
        w = engine.lts_hold(moved, w, frozen)
    np.testing.assert_array_equal(w[frozen], arguments["before"][frozen])
    np.testing.assert_array_equal(engine.quantize(w, 0.3, 0, -8, 7)[frozen], q[frozen])


@both
@given(arguments())
def test_with_zeros_it_is_the_mask_of_a_gradient(engine, arguments):
    g = engine.lts_hold(arguments["w"], np.zeros_like(arguments["w"]), arguments["frozen"])
    np.testing.assert_array_equal(g, arguments["w"] * ~arguments["frozen"])


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.lts_hold, arguments)


WRONG = {
    "the free ones put back": lambda w, before, frozen: np.where(frozen, w, before),
    "nothing put back": lambda w, before, frozen: w,
    "all put back": lambda w, before, frozen: before,
    "set to 0": lambda w, before, frozen: np.where(frozen, np.float32(0), w),
    "halfway": lambda w, before, frozen: np.where(frozen, (w + before) / 2, w),
}
