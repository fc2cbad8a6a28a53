"""Laws of target_rate."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws.schedules import run
from tests.support import both


@st.composite
def arguments(draw):
    steps = draw(st.integers(1, 50))
    return {"initial": draw(st.sampled_from([0.0, 0.007, 0.5])), "step": draw(st.integers(0, steps)), "steps": steps}


@both
@given(arguments())
def test_the_ends(engine, arguments):
    targets = run(engine.target_rate, arguments)
    assert (targets[0], targets[-1]) == (arguments["initial"], 0)


@both
@given(arguments())
def test_it_does_not_rise(engine, arguments):
    targets = run(engine.target_rate, arguments)
    assert all(a >= b for a, b in zip(targets, targets[1:], strict=False))


@both
@given(arguments())
def test_it_is_the_cosine_of_a_learning_rate(engine, arguments):
    multiplier = engine.cosine_schedule(arguments["step"], arguments["steps"])
    assert engine.target_rate(**arguments) == pytest.approx(arguments["initial"] * multiplier, abs=1e-18)


WRONG = {
    "a line": lambda initial, step, steps: initial * (1 - step / steps),
    "constant": lambda initial, step, steps: initial,
    "quarter of a wave": lambda initial, step, steps: initial * math.cos(math.pi / 2 * step / steps),
    "0 at the last step": lambda initial, step, steps: refq.target_rate(
        initial, min(step, steps - 1), max(1, steps - 1)
    ),
    "from step 1": lambda initial, step, steps: refq.target_rate(initial, min(step + 1, steps), steps),
    "not halved": lambda initial, step, steps: initial * (1 + math.cos(math.pi * step / steps)),
}
