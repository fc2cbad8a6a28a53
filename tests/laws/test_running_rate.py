"""Laws of running_rate."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.laws.controllers import SHARES
from tests.support import both


@st.composite
def arguments(draw):
    return {"running": draw(SHARES), "rate": draw(SHARES), "momentum": draw(st.sampled_from([0.0, 0.5, 0.9, 0.99]))}


@both
@given(arguments())
def test_between_the_two(engine, arguments):
    low, high = sorted([arguments["running"], arguments["rate"]])
    assert low - 1e-15 <= engine.running_rate(**arguments) <= high + 1e-15


@both
@given(arguments())
def test_without_memory_it_is_the_rate(engine, arguments):
    assert engine.running_rate(**(arguments | {"momentum": 0.0})) == arguments["rate"]


@both
@given(arguments())
def test_a_constant_rate_is_approached_by_the_momentum(engine, arguments):
    before = arguments["running"] - arguments["rate"]
    after = engine.running_rate(**arguments) - arguments["rate"]
    assert after == pytest.approx(arguments["momentum"] * before, abs=1e-15)


WRONG = {
    "the momentum of the new one": lambda running, rate, momentum=0.99: (1 - momentum) * running + momentum * rate,
    "a sum": lambda running, rate, momentum=0.99: momentum * running + rate,
    "the rate itself": lambda running, rate, momentum=0.99: rate,
    "momentum 0.9": lambda running, rate, momentum=0.9: momentum * running + (1 - momentum) * rate,
    "begun with the first rate": lambda running, rate, momentum=0.99: (
        momentum * running + (1 - momentum) * rate if running else rate
    ),
}
