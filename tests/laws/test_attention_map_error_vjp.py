"""Laws of attention_map_error_vjp."""

import numpy as np
from hypothesis import given

import refq
from tests.laws.losses import maps_with_g
from tests.laws.operations import assert_float64_is_kept, assert_linear_in
from tests.laws.test_log_softmax import quiet
from tests.support import both

arguments = maps_with_g


@both
@given(arguments())
def test_linear_in_g(engine, arguments):
    assert_linear_in(engine.attention_map_error_vjp, arguments)


@both
@given(arguments())
def test_no_slope_where_the_student_is_hidden(engine, arguments):
    gstudent = engine.attention_map_error_vjp(**arguments)
    assert np.isfinite(gstudent).all()
    assert not gstudent[arguments["student_scores"] <= -100].any()


@both
@given(arguments())
def test_a_slope_where_the_teacher_alone_is_hidden(engine, arguments):
    g, student, teacher = arguments.values()
    hidden = np.full_like(teacher, -np.inf)
    seen = np.where(student <= -100, np.float32(0), student)
    due = refq.squared_error_vjp(g, seen, np.zeros_like(seen))
    np.testing.assert_array_equal(engine.attention_map_error_vjp(g, student, hidden), due)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.attention_map_error_vjp, arguments)


WRONG = {
    "the hidden have a slope": lambda g, student_scores, teacher_scores: refq.squared_error_vjp(
        g, *(np.where(scores <= -100, np.float32(0), scores) for scores in (student_scores, teacher_scores))
    ),
    "nothing hidden": quiet(
        lambda g, student_scores, teacher_scores: refq.squared_error_vjp(g, student_scores, teacher_scores)
    ),
    "no slope where the teacher is hidden": lambda g, student_scores, teacher_scores: np.where(
        teacher_scores <= -100,
        np.float32(0),
        refq.attention_map_error_vjp(g, student_scores, teacher_scores),
    ),
    "without 2": lambda **arguments: refq.attention_map_error_vjp(**arguments) / 2,
    "sign": lambda **arguments: -refq.attention_map_error_vjp(**arguments),
    "g forgotten": lambda g, **forward: refq.attention_map_error_vjp(np.ones_like(g), **forward),
}
