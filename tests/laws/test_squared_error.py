"""Laws of squared_error."""

import numpy as np
from hypothesis import given

import refq
from tests.laws.losses import states
from tests.laws.operations import assert_float64_is_kept, wide
from tests.support import both

arguments = states


@both
@given(arguments())
def test_at_least_zero_one_a_position(engine, arguments):
    loss = engine.squared_error(**arguments)
    assert np.shape(loss) == arguments["student"].shape[:-1]
    assert (loss >= 0).all()


@both
@given(arguments())
def test_symmetric(engine, arguments):
    student, teacher = arguments.values()
    np.testing.assert_array_equal(engine.squared_error(student, teacher), engine.squared_error(teacher, student))


@both
@given(arguments())
def test_zero_where_they_are_equal(engine, arguments):
    assert not np.any(engine.squared_error(arguments["student"], arguments["student"]))


@both
@given(arguments())
def test_all_elements_weigh_alike(engine, arguments):
    student, teacher = wide(arguments).values()
    loss = engine.squared_error(student, teacher)
    np.testing.assert_allclose(np.sum(loss) * student.shape[-1], ((student - teacher) ** 2).sum(), atol=1e-9)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.squared_error, arguments)


WRONG = {
    "sum": lambda student, teacher: refq.squared_error(student, teacher) * student.shape[-1],
    "mean over everything": lambda student, teacher: np.asarray(refq.squared_error(student, teacher)).mean(),
    "root": lambda student, teacher: np.sqrt(refq.squared_error(student, teacher)),
    "halved": lambda student, teacher: refq.squared_error(student, teacher) / 2,
    "absolute": lambda student, teacher: np.abs(student - teacher).mean(axis=-1),
    "over the first axis": lambda student, teacher: np.square(student - teacher).mean(axis=0),
}
