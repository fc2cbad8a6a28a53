"""Laws of reverse_kl_divergence_vjp."""

import numpy as np
from hypothesis import example, given

import refq
from tests.laws.losses import assert_centred, divergence_call, logarithms, pairs_with_g
from tests.laws.operations import assert_float64_is_kept, assert_linear_in
from tests.laws.test_kl_divergence_vjp import slopes
from tests.support import both

arguments = pairs_with_g


@both
@given(arguments())
def test_linear_in_g(engine, arguments):
    assert_linear_in(engine.reverse_kl_divergence_vjp, arguments)


@both
@given(arguments())
@example(divergence_call(0.1, [0, 0, 0], [0, 0, 0.4], 1 / 1024, False))
def test_it_sums_to_zero(engine, arguments):
    g, student, teacher, temperature, squared = arguments.values()
    log_q, log_p = logarithms(student, teacher, temperature)
    assert_centred(engine.reverse_kl_divergence_vjp(**arguments), g, log_q, log_p, temperature, squared)


@both
@given(arguments())
def test_zero_where_the_student_is_the_teacher(engine, arguments):
    assert not engine.reverse_kl_divergence_vjp(**(arguments | {"student_logits": arguments["teacher_logits"]})).any()


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.reverse_kl_divergence_vjp, arguments)


def _not_centred(g, student_logits, teacher_logits, temperature=1.0, squared=True):
    refq.reverse_kl_divergence_vjp(g, student_logits, teacher_logits, temperature, squared)
    log_q, log_p = logarithms(student_logits, teacher_logits, temperature)
    f = np.float32(temperature if squared else 1 / temperature)
    return g[..., None] * f * np.exp(log_q) * np.where(np.isfinite(log_q), log_q - log_p + 1, 0).astype(np.float32)


WRONG = {
    "of KL(teacher || student)": refq.kl_divergence_vjp,
    "as if probabilities were free": _not_centred,
    "never squared": lambda g, student_logits, teacher_logits, temperature=1.0, squared=True: (
        refq.reverse_kl_divergence_vjp(g, student_logits, teacher_logits, temperature, False)
    ),
    "always squared": lambda g, student_logits, teacher_logits, temperature=1.0, squared=True: (
        refq.reverse_kl_divergence_vjp(g, student_logits, teacher_logits, temperature, True)
    ),
    "sign": lambda **arguments: -refq.reverse_kl_divergence_vjp(**arguments),
    "g forgotten": lambda g, **forward: refq.reverse_kl_divergence_vjp(np.ones_like(g), **forward),
    "of Jensen-Shannon": slopes(refq.jensen_shannon_divergence),
}
