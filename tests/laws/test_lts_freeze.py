"""Laws of lts_freeze."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.laws.operations import tenths
from tests.support import both, int_arrays, shapes


@st.composite
def arguments(draw):
    shape = draw(shapes())
    return {
        "frozen": draw(int_arrays(shape, 0, 1, bool)),
        "distance": draw(tenths(shape).map(np.abs)),
        "threshold": draw(st.sampled_from([-1.0, 0.0, 0.1, 0.5, 1.0])),
    }


@both
@given(arguments())
def test_the_set_grows(engine, arguments):
    frozen = engine.lts_freeze(**arguments)
    assert frozen.dtype == bool
    assert frozen[arguments["frozen"]].all()
    wider = engine.lts_freeze(frozen, arguments["distance"], arguments["threshold"] + 0.5)
    assert wider[frozen].all()


@both
@given(arguments())
def test_below_0_nothing_new(engine, arguments):
    np.testing.assert_array_equal(engine.lts_freeze(**(arguments | {"threshold": -1.0})), arguments["frozen"])


@both
@given(arguments())
def test_what_is_new_has_settled(engine, arguments):
    new = engine.lts_freeze(**arguments) & ~arguments["frozen"]
    np.testing.assert_array_equal(new, (arguments["distance"] <= arguments["threshold"]) & ~arguments["frozen"])


@both
def test_one_that_flips_every_step_never_freezes(engine):
    """Distance and threshold together: p stays below 1 until the end of the run."""
    frozen, distance = np.zeros(2, bool), None
    for step in range(200):
        q, previous = np.int32([step % 2, 1]), np.int32([1 - step % 2, 1])
        distance = engine.lts_distance(distance, np.float32([0.5, 1.01]), q, previous)
        frozen = engine.lts_freeze(frozen, distance, engine.lts_threshold(step, 200, 10))
    np.testing.assert_array_equal(frozen, [False, True])


WRONG = {
    "thawed": lambda frozen, distance, threshold: distance <= threshold,
    "below alone": lambda frozen, distance, threshold: frozen | (distance < threshold),
    "the far ones": lambda frozen, distance, threshold: frozen | (distance >= threshold),
    "both": lambda frozen, distance, threshold: frozen & (distance <= threshold),
    "the threshold never below 0": lambda frozen, distance, threshold: frozen | (distance <= max(0, threshold)),
}
