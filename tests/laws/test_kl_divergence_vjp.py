"""Laws of kl_divergence_vjp."""

import numpy as np
from hypothesis import example, given

import refq
from tests.laws.losses import assert_shares_cancel, divergence_call, kl_vjp_bound, pair_edges_with_g, pairs_with_g
from tests.laws.operations import assert_float64_is_kept, assert_linear_in
from tests.support import both

arguments, edges = pairs_with_g, pair_edges_with_g


def bound(arguments, expected):
    g, *_ = arguments.values()
    return kl_vjp_bound(g, {name: value for name, value in arguments.items() if name != "g"})


@both
@given(arguments())
@example(divergence_call(0.2, [0, 6], [0, 0.1], 1 / 1024, False))  # a probability of 2**-148
def test_linear_in_g(engine, arguments):
    assert_linear_in(engine.kl_divergence_vjp, arguments)


@both
@given(arguments())
@example(divergence_call(1.1, [0, 0], [0, 2.7], 1024, True))
@example(divergence_call(1.7, [0, 0], [0, 4.4], 1024, True))
def test_it_sums_to_zero(engine, arguments):
    assert_shares_cancel(engine.kl_divergence_vjp(**arguments), **arguments)


@both
@given(arguments())
def test_zero_where_the_student_is_the_teacher(engine, arguments):
    assert not engine.kl_divergence_vjp(**(arguments | {"student_logits": arguments["teacher_logits"]})).any()


@both
@given(arguments())
def test_a_step_against_it_comes_nearer(engine, arguments):
    _, student, teacher, temperature, _ = arguments.values()
    g = np.full(student.shape[:-1], 1e-3, np.float64)
    student, teacher = student.astype(np.float64), teacher.astype(np.float64)
    moved = student - engine.kl_divergence_vjp(g, student, teacher, temperature)
    before, after = (engine.kl_divergence(logits, teacher, temperature) for logits in (student, moved))
    assert (after <= before + 1e-12).all()


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.kl_divergence_vjp, arguments)


def slopes(function):
    """The gradients of a loss in float64, by central differences: of a wrong loss, for instance."""

    def vjp(g, student_logits, teacher_logits, temperature=1.0, squared=True):
        refq.kl_divergence_vjp(g, student_logits, teacher_logits, temperature, squared)
        student, teacher = student_logits.astype(np.float64), teacher_logits.astype(np.float64)
        gstudent = np.zeros(student.shape)
        for index in np.ndindex(student.shape):
            for step in (1e-4, -1e-4):
                moved = student.copy()
                moved[index] += step
                gstudent[index] += (g * function(moved, teacher, temperature, squared)).sum() / (2 * step)
        return gstudent.astype(np.float32)

    return vjp


def _factor(function):
    """The right gradient times a function of temperature."""

    def vjp(g, student_logits, teacher_logits, temperature=1.0, squared=True):
        right = refq.kl_divergence_vjp(g, student_logits, teacher_logits, temperature, squared)
        return right * np.float32(function(temperature))

    return vjp


WRONG = {
    "of KL(student || teacher)": slopes(refq.reverse_kl_divergence),
    "temperature squared left": _factor(lambda temperature: temperature),
    "temperature of the chain rule forgotten": _factor(lambda temperature: 1 / temperature),
    "sign": lambda **arguments: -refq.kl_divergence_vjp(**arguments),
    "g forgotten": lambda g, **forward: refq.kl_divergence_vjp(np.ones_like(g), **forward),
    "averaged over positions": lambda g, **forward: refq.kl_divergence_vjp(g, **forward) / np.float32(max(g.size, 1)),
    "the student's probabilities alone": lambda g, student_logits, teacher_logits, temperature=1.0, squared=True: (
        g[..., None] * refq.softmax(student_logits)
    ),
    "always squared": lambda g, student_logits, teacher_logits, temperature=1.0, squared=True: refq.kl_divergence_vjp(
        g, student_logits, teacher_logits, temperature
    ),
}
