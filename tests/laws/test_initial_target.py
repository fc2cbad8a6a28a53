"""Laws of initial_target."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import both


@st.composite
def arguments(draw):
    return {"bits": draw(st.integers(1, 16)), "strength": draw(st.sampled_from([0.0, 1e-4, 5e-3, 0.1]))}


@both
@given(arguments())
def test_its_square_is_proportional_to_the_bits(engine, arguments):
    one = engine.initial_target(**(arguments | {"bits": 1}))
    assert one == arguments["strength"]
    assert engine.initial_target(**arguments) ** 2 == pytest.approx(arguments["bits"] * one**2, rel=1e-14)


@both
@given(arguments())
def test_proportional_to_the_strength(engine, arguments):
    twice = arguments | {"strength": 2 * arguments["strength"]}
    assert engine.initial_target(**twice) == 2 * engine.initial_target(**arguments)


@both
@pytest.mark.parametrize(("bits", "target"), [(1, 0.005), (2, 0.0070711), (3, 0.0086603), (4, 0.01)])
def test_the_values_of_the_text(engine, bits, target):
    assert engine.initial_target(bits) == pytest.approx(target, abs=5e-8)


WRONG = {
    "without the root": lambda bits, strength=5e-3: strength * bits,
    "per level": lambda bits, strength=5e-3: strength * math.sqrt(2**bits),
    "the strength alone": lambda bits, strength=5e-3: strength,
    "over the root": lambda bits, strength=5e-3: strength / math.sqrt(bits),
    "root of the whole": lambda bits, strength=5e-3: math.sqrt(strength * bits),
}
