"""Laws of jensen_shannon_divergence_vjp."""

import numpy as np
from hypothesis import given

import refq
from tests.laws.losses import assert_centred, logarithms, pairs_with_g
from tests.laws.operations import assert_float64_is_kept, assert_linear_in
from tests.support import both

arguments = pairs_with_g


@both
@given(arguments())
def test_linear_in_g(engine, arguments):
    assert_linear_in(engine.jensen_shannon_divergence_vjp, arguments)


@both
@given(arguments())
def test_it_sums_to_zero(engine, arguments):
    g, student, teacher, temperature, squared = arguments.values()
    log_q, log_p = logarithms(student, teacher, temperature)
    log_m = np.logaddexp(log_p, log_q) - np.log(np.float32(2))
    assert_centred(engine.jensen_shannon_divergence_vjp(**arguments), g / 2, log_q, log_m, temperature, squared)


@both
@given(arguments())
def test_nothing_to_gain_where_the_student_is_the_teacher(engine, arguments):
    same = arguments | {"student_logits": arguments["teacher_logits"]}
    np.testing.assert_allclose(engine.jensen_shannon_divergence_vjp(**same), 0, atol=1e-4)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.jensen_shannon_divergence_vjp, arguments)


WRONG = {
    "not halved": lambda **arguments: refq.jensen_shannon_divergence_vjp(**arguments) * 2,
    "the mean as a constant": lambda g, student_logits, teacher_logits, **rest: (
        refq.jensen_shannon_divergence_vjp(g, student_logits, teacher_logits, **rest)
        - refq.kl_divergence_vjp(g, student_logits, teacher_logits, **rest) / 4
    ),
    "of KL(teacher || student)": refq.kl_divergence_vjp,
    "of KL(student || teacher)": refq.reverse_kl_divergence_vjp,
    "never squared": lambda g, student_logits, teacher_logits, temperature=1.0, squared=True: (
        refq.jensen_shannon_divergence_vjp(g, student_logits, teacher_logits, temperature, False)
    ),
    "always squared": lambda g, student_logits, teacher_logits, temperature=1.0, squared=True: (
        refq.jensen_shannon_divergence_vjp(g, student_logits, teacher_logits, temperature, True)
    ),
    "g forgotten": lambda g, **forward: refq.jensen_shannon_divergence_vjp(np.ones_like(g), **forward),
}
