"""Laws of gradient_l1."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws.operations import tenths
from tests.support import both, shapes


@st.composite
def arguments(draw):
    return {"g": draw(tenths(draw(shapes())))}


@both
@given(arguments())
def test_signs_do_not_matter(engine, arguments):
    penalty = engine.gradient_l1(**arguments)
    assert type(penalty) is float
    assert penalty == engine.gradient_l1(-arguments["g"]) == engine.gradient_l1(np.abs(arguments["g"]))
    assert (penalty == 0) == (not arguments["g"].any())


@both
@given(arguments())
def test_twice_the_gradient_twice_the_penalty(engine, arguments):
    assert engine.gradient_l1(arguments["g"] * 2) == 2 * engine.gradient_l1(**arguments)


@both
@given(arguments())
def test_between_the_norm_and_its_root_of_n(engine, arguments):
    norm, penalty = engine.global_norm({"g": arguments["g"]}), engine.gradient_l1(**arguments)
    assert norm <= penalty * (1 + 1e-12)
    assert penalty <= norm * np.sqrt(arguments["g"].size) * (1 + 1e-12)


@both
@given(arguments())
def test_the_layout_does_not_matter(engine, arguments):
    assert engine.gradient_l1(np.asfortranarray(arguments["g"])) == pytest.approx(engine.gradient_l1(**arguments))


def _narrow(g):
    with np.errstate(over="ignore"):
        return float(np.abs(g).sum(dtype=np.float32))


WRONG = {
    "the norm": lambda g: refq.global_norm({"g": g}),
    "a mean": lambda g: float(np.abs(g, dtype=np.float64).mean()) if g.size else 0.0,
    "without the sizes": lambda g: float(g.sum(dtype=np.float64)),
    "in float32": _narrow,
    "the square": lambda g: float((g.astype(np.float64) ** 2).sum()),
}
