"""Laws of lsq_gradient_scale."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.support import both


def arguments():
    return st.fixed_dictionaries({"count": st.integers(1, 2**30), "qmax": st.integers(1, 2**16)})


@both
@given(arguments())
def test_four_times_the_count_is_half_the_factor(engine, arguments):
    factor = engine.lsq_gradient_scale(**arguments)
    assert engine.lsq_gradient_scale(4 * arguments["count"], arguments["qmax"]) == factor / 2


@both
@given(arguments())
def test_squared_it_is_the_reciprocal(engine, arguments):
    factor = engine.lsq_gradient_scale(**arguments)
    assert factor**2 * arguments["count"] * arguments["qmax"] == pytest.approx(1, rel=1e-15)


@both
@given(arguments())
def test_is_a_python_number(engine, arguments):
    """One of NumPy's float64 would make a float32 gradient float64."""
    assert type(engine.lsq_gradient_scale(**arguments)) is float


@both
def test_nothing_shares_no_step(engine):
    with pytest.raises(refq.errors.GridError, match="count=0; 1 or more is needed"):
        engine.lsq_gradient_scale(0, 7)


WRONG = {
    "no qmax": lambda count, qmax: 1 / math.sqrt(count),
    "no root": lambda count, qmax: 1 / (count * qmax),
    "qmax outside the root": lambda count, qmax: 1 / math.sqrt(count) / qmax,
    "the root itself": lambda count, qmax: math.sqrt(count * qmax),
}
