"""Laws of gradient_l1_direction."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.laws.operations import assert_float64_is_kept, tenths
from tests.support import both, shapes


@st.composite
def arguments(draw):
    return {"g": draw(tenths(draw(shapes()))), "epsilon": draw(st.sampled_from([1e-3, 0.1, 0.5]))}


@both
@given(arguments())
def test_each_moves_by_epsilon_or_not_at_all(engine, arguments):
    step, g = engine.gradient_l1_direction(**arguments), arguments["g"]
    np.testing.assert_array_equal(np.abs(step), np.where(g != 0, np.float32(arguments["epsilon"]), 0))


@both
@given(arguments())
def test_uphill_by_epsilon_times_the_penalty(engine, arguments):
    rise = (arguments["g"].astype(np.float64) * engine.gradient_l1_direction(**arguments)).sum()
    expected = float(np.float32(arguments["epsilon"])) * engine.gradient_l1(arguments["g"])
    assert rise == pytest.approx(expected, rel=1e-12)


@both
@given(arguments())
def test_the_size_of_the_gradient_does_not_matter(engine, arguments):
    step = engine.gradient_l1_direction(**arguments)
    np.testing.assert_array_equal(
        engine.gradient_l1_direction(arguments["g"] * np.float32(1e-9), arguments["epsilon"]), step
    )


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.gradient_l1_direction, arguments)


WRONG = {
    "0 moves up": lambda g, epsilon: np.where(g >= 0, np.float32(epsilon), -np.float32(epsilon)),
    "downhill": lambda g, epsilon: -np.float32(epsilon) * np.sign(g),
    "along the gradient": lambda g, epsilon: np.float32(epsilon) * g,
    "of unit length": lambda g, epsilon: np.float32(epsilon) * g / max(np.float32(1e-20), np.abs(g).max()),
    "epsilon forgotten": lambda g, epsilon: np.sign(g),
}
