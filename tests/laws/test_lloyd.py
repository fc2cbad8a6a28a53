"""Laws of lloyd."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import fitted, test_lloyd_step
from tests.support import both


@st.composite
def arguments(draw):
    return draw(test_lloyd_step.arguments()) | {"iterations": draw(st.integers(0, 5))}


def edges():
    for i, case in enumerate(test_lloyd_step.edges()):
        yield case | {"iterations": i}


@both
@given(arguments())
def test_it_is_steps_and_a_last_assignment(engine, arguments):
    codebook, index = engine.lloyd(**arguments)
    expected = arguments["codebook"]
    for _ in range(arguments["iterations"]):
        expected, _ = refq.lloyd_step(arguments["groups"], expected)
    np.testing.assert_array_equal(codebook, expected)
    np.testing.assert_array_equal(index, refq.lloyd_step(arguments["groups"], expected)[1])


@both
@given(arguments())
def test_the_squared_error_does_not_rise_with_iterations(engine, arguments):
    groups = arguments["groups"].astype(np.float64)
    rounding = groups.shape[1] * (np.abs(groups).max(axis=-1) * 2.0**-24 + 1e-45) ** 2
    before = np.full(len(groups), np.inf)
    for iterations in range(4):
        codebook, index = engine.lloyd(arguments["groups"], arguments["codebook"], iterations)
        error = fitted.squared_error(groups, codebook.astype(np.float64), index)
        assert (error <= before * (1 + 1e-12) + rounding).all()
        before = error


@both
@given(fitted.groups(), st.integers(1, 6))
def test_from_linear_mean_it_is_never_worse_than_linear_mean(engine, groups, bits):
    start, bins = engine.linear_mean(groups, bits)
    codebook, index = engine.lloyd(groups, start)
    wide = groups.astype(np.float64)
    rounding = groups.shape[1] * (np.abs(wide).max(axis=-1) * 2.0**-23 + 1e-45) ** 2
    before = fitted.squared_error(wide, start.astype(np.float64), bins)
    assert (fitted.squared_error(wide, codebook.astype(np.float64), index) <= before * (1 + 1e-12) + rounding).all()


@both
@given(arguments())
def test_inputs_are_not_returned(engine, arguments):
    codebook, _ = engine.lloyd(**arguments)
    assert not np.shares_memory(codebook, arguments["codebook"])


def _steps(groups, codebook, count):
    for _ in range(count):
        codebook, index = refq.lloyd_step(groups, codebook)
    return codebook, index


WRONG = {
    "no last assignment": lambda groups, codebook, iterations: (
        _steps(groups, codebook, iterations) if iterations > 0 else refq.lloyd(groups, codebook, iterations)
    ),
    "one step more": lambda groups, codebook, iterations: refq.lloyd(groups, codebook, iterations + 1),
    "one step less": lambda groups, codebook, iterations: refq.lloyd(groups, codebook, max(iterations - 1, 0)),
    "a step in place of the last assignment": lambda groups, codebook, iterations: _steps(
        groups, codebook, iterations + 1
    ),
    "until nothing moves": lambda groups, codebook, iterations: refq.lloyd(groups, codebook, 100),
    "at least one step": lambda groups, codebook, iterations: refq.lloyd(groups, codebook, max(iterations, 1)),
    "empty entries are 0": lambda groups, codebook, iterations: _emptied(groups, codebook, iterations),
    "the best codebook": lambda groups, codebook, iterations: refq.kmeans_optimal(groups, codebook.shape[-1]),
}


def _emptied(groups, codebook, iterations):
    codebook, index = refq.lloyd(groups, codebook, iterations)
    for place in np.ndindex(*groups.shape[:-1]):
        codebook[place][np.bincount(index[place], minlength=codebook.shape[-1]) == 0] = 0
    return codebook, index
