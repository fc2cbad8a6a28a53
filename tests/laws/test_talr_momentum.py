"""Laws of talr_momentum."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws.controllers import assert_toward_the_target, controller_arguments
from tests.support import both


@st.composite
def arguments(draw):
    return draw(controller_arguments()) | {"momentum": draw(st.sampled_from([0.0, 0.5, 0.99]))}


@both
@given(arguments())
def test_toward_the_target(engine, arguments):
    if arguments["running"]:
        assert_toward_the_target(engine.talr_momentum, arguments)


@both
@given(arguments())
def test_without_memory_it_is_the_proportion(engine, arguments):
    plain = {name: value for name, value in arguments.items() if name != "momentum"}
    assert engine.talr_momentum(**(arguments | {"momentum": 0.0})) == engine.talr_multiplicative(**plain)


@both
@given(arguments())
def test_between_the_old_rate_and_the_proportion(engine, arguments):
    plain = {name: value for name, value in arguments.items() if name != "momentum"}
    whole = engine.talr_multiplicative(**plain)
    part = (1 - arguments["momentum"]) * (whole - arguments["learning_rate"])
    assert engine.talr_momentum(**arguments) == pytest.approx(arguments["learning_rate"] + part, rel=1e-12)


WRONG = {
    "momentum forgotten": lambda learning_rate, target, running, momentum=0.99: refq.talr_multiplicative(
        learning_rate, target, running
    ),
    "the momentum of the new one": lambda learning_rate, target, running, momentum=0.99: (
        (1 - momentum) * learning_rate + momentum * refq.talr_multiplicative(learning_rate, target, running)
    ),
    "the other way": lambda learning_rate, target, running, momentum=0.99: (
        momentum * learning_rate + (1 - momentum) * learning_rate * running / (target or 1.0)
    ),
    "the rate forgotten": lambda learning_rate, target, running, momentum=0.99: (
        momentum * learning_rate + (1 - momentum) * (target / running if running else 1.0)
    ),
    "additive": lambda learning_rate, target, running, momentum=0.99: max(
        0.0, learning_rate + (1 - momentum) * (target - running)
    ),
}
