"""Laws of top_k_kl."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws.losses import mild, pairs
from tests.laws.operations import assert_float64_is_kept, wide
from tests.laws.test_log_softmax import quiet
from tests.support import both


@st.composite
def arguments(draw):
    student, teacher, temperature, squared = draw(pairs()).values()
    log_probs, indices = refq.top_k_log_probs(teacher, draw(st.integers(1, teacher.shape[-1])), temperature)
    return {
        "student_logits": student,
        "teacher_log_probs": log_probs,
        "indices": indices,
        "temperature": temperature,
        "squared": squared,
        "renormalize": draw(st.booleans()),
    }


@both
@given(pairs(), st.booleans())
def test_of_all_classes_it_is_the_divergence(engine, arguments, renormalize):
    student, teacher, temperature, squared = wide(arguments).values()
    kept = engine.top_k_log_probs(teacher, teacher.shape[-1], temperature)
    loss = engine.top_k_kl(student, *kept, temperature, squared, renormalize)
    np.testing.assert_allclose(loss, engine.kl_divergence(student, teacher, temperature, squared), atol=1e-9)


@both
@given(arguments())
def test_renormalized_is_the_divergence_of_the_kept(engine, arguments):
    student, log_probs, indices, temperature, squared, _ = wide(arguments).values()
    chosen = np.take_along_axis(student, indices, axis=-1) / temperature
    due = refq.kl_divergence(chosen, log_probs) * (temperature**2 if squared else 1)
    loss = engine.top_k_kl(student, log_probs, indices, temperature, squared, renormalize=True)
    np.testing.assert_allclose(loss, due, atol=1e-9)


@both
@given(arguments())
def test_order_does_not_matter(engine, arguments):
    turned = {name: wide(arguments)[name][..., ::-1] for name in ("teacher_log_probs", "indices")}
    loss = engine.top_k_kl(**wide(arguments))
    np.testing.assert_allclose(engine.top_k_kl(**(wide(arguments) | turned)), loss, atol=1e-9)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.top_k_kl, mild(arguments))


def variant(student_over=None, teacher_over=None, softened=False, power=2, no_probability=0.0, direction="teacher"):
    """The loss with mistakes; over: True for the k, False for all V, None for what renormalize says."""

    def wrong(student_logits, teacher_log_probs, indices, temperature=1.0, squared=True, renormalize=True):
        refq.top_k_kl(student_logits, teacher_log_probs, indices, temperature, squared, renormalize)
        x = student_logits / np.float32(temperature)
        log_p = teacher_log_probs / np.float32(temperature if softened else 1)
        log_q = np.take_along_axis(x, indices, axis=-1)
        whole = refq.log_softmax(x)
        if renormalize if student_over is None else student_over:
            log_q = refq.log_softmax(log_q)
        else:
            log_q = np.take_along_axis(whole, indices, axis=-1)
        if renormalize if teacher_over is None else teacher_over:
            log_p = refq.log_softmax(log_p)
        if direction == "student":
            log_p, log_q = log_q, log_p
        terms = np.exp(log_p) * (log_p - log_q)
        if no_probability is not None:
            terms = np.where(np.exp(log_p) == 0, no_probability, terms)
        return terms.sum(axis=-1) * np.float32(temperature ** (power if squared else 0))

    return quiet(wrong)


WRONG = {
    "always renormalized": variant(student_over=True, teacher_over=True),
    "never renormalized": variant(student_over=False, teacher_over=False),
    "teacher renormalized alone": variant(student_over=False),
    "student renormalized alone": variant(teacher_over=False),
    "teacher softened twice": variant(softened=True),
    "KL(student || teacher)": variant(direction="student"),
    "never squared": variant(power=0),
    "times temperature, not squared": variant(power=1),
    "0 * infinity": variant(no_probability=None),
    "indices as if sorted": lambda indices, **rest: refq.top_k_kl(indices=np.sort(indices, axis=-1), **rest),
}
