"""Laws of reverse_kl_divergence."""

import numpy as np
from hypothesis import given

import refq
from tests.laws.losses import kl_bound, mild, pairs
from tests.laws.operations import assert_float64_is_kept, wide
from tests.laws.test_kl_divergence import variant
from tests.support import both

arguments = pairs


@both
@given(arguments())
def test_kl_with_the_logits_exchanged(engine, arguments):
    student, teacher, temperature, squared = wide(arguments).values()
    loss = engine.reverse_kl_divergence(student, teacher, temperature, squared)
    np.testing.assert_allclose(loss, refq.kl_divergence(teacher, student, temperature, squared), atol=1e-12)


@both
@given(arguments())
def test_at_least_zero_one_a_position(engine, arguments):
    loss = engine.reverse_kl_divergence(**arguments)
    assert np.shape(loss) == arguments["student_logits"].shape[:-1]
    assert (loss >= -kl_bound(arguments)).all()


@both
def test_what_the_student_leaves_out_costs_nothing(engine):
    teacher = np.log(np.float32([[0.5, 0.5, 1e-9]]))
    student = np.float32([[0, -np.inf, -np.inf]])
    np.testing.assert_allclose(engine.reverse_kl_divergence(student, teacher), np.log(2), atol=1e-6)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.reverse_kl_divergence, mild(arguments))


WRONG = {
    "KL(teacher || student)": refq.kl_divergence,
    "student softened alone": variant(direction="student", soften="student"),
    "teacher softened alone": variant(direction="student", soften="teacher"),
    "times temperature, not squared": variant(direction="student", power=1),
    "never squared": variant(direction="student", power=0),
    "0 * infinity": variant(direction="student", no_probability=None),
    "mean over classes": variant(direction="student", reduce=np.mean),
    "without the student's entropy": variant(direction="student", teacher_entropy=False),
}
