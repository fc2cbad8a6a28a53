"""Laws of kl_divergence."""

import numpy as np
from hypothesis import given

import refq
from tests.laws.losses import kl_bound, mild, pair_edges, pairs
from tests.laws.operations import assert_float64_is_kept, wide
from tests.laws.test_log_softmax import quiet
from tests.support import both

arguments, edges = pairs, pair_edges


def bound(arguments, expected):
    return kl_bound(arguments)


@both
@given(arguments())
def test_at_least_zero_one_a_position(engine, arguments):
    loss = engine.kl_divergence(**arguments)
    assert np.shape(loss) == arguments["student_logits"].shape[:-1]
    assert (loss >= -bound(arguments, loss)).all()


@both
@given(arguments())
def test_zero_where_logits_differ_by_a_constant(engine, arguments):
    teacher = np.rint(arguments["teacher_logits"])
    loss = engine.kl_divergence(**(arguments | {"student_logits": teacher + 3, "teacher_logits": teacher}))
    np.testing.assert_allclose(loss, 0, atol=1e-4)


@both
@given(arguments())
def test_only_differences_count(engine, arguments):
    logits = "student_logits", "teacher_logits"
    near = arguments | {key: np.rint(4 * arguments[key]) / 4 for key in logits} | {"temperature": 2.0}  # all exact
    far = near | {key: near[key] + np.float32(2**18) for key in logits}
    loss = engine.kl_divergence(**near)
    assert (np.abs(engine.kl_divergence(**far) - loss) <= 2 * bound(near, loss)).all()


@both
@given(arguments())
def test_cross_entropy_less_entropy(engine, arguments):
    student, teacher, temperature, squared = wide(arguments).values()
    p, log_p = refq.softmax(teacher / temperature), refq.log_softmax(teacher / temperature)
    expected = (p * log_p).sum(axis=-1) - (p * refq.log_softmax(student / temperature)).sum(axis=-1)
    loss = engine.kl_divergence(student, teacher, temperature, squared)
    np.testing.assert_allclose(loss, expected * (temperature**2 if squared else 1), rtol=1e-9, atol=1e-9)


@both
@given(arguments())
def test_temperature_divides_both(engine, arguments):
    student, teacher, temperature, _ = wide(arguments).values()
    once = engine.kl_divergence(student, teacher, temperature, squared=False)
    np.testing.assert_allclose(engine.kl_divergence(student / temperature, teacher / temperature), once, atol=1e-9)
    squared = engine.kl_divergence(student, teacher, temperature)
    np.testing.assert_allclose(squared, temperature**2 * once, atol=1e-9)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.kl_divergence, mild(arguments))


def variant(direction="teacher", soften="both", power=2, no_probability=0, reduce=np.sum, teacher_entropy=True):
    """A divergence with mistakes."""

    def wrong(student_logits, teacher_logits, temperature=1.0, squared=True):
        right = refq.kl_divergence(student_logits, teacher_logits, temperature, squared)
        student = student_logits / np.float32(temperature if soften in ("both", "student") else 1)
        teacher = teacher_logits / np.float32(temperature if soften in ("both", "teacher") else 1)
        log_q, log_p = refq.log_softmax(student), refq.log_softmax(teacher)
        if direction == "student":
            log_q, log_p = log_p, log_q
        p = np.exp(log_p)
        terms = p * ((log_p if teacher_entropy else 0) - log_q)
        if no_probability is not None:
            terms = np.where(p == 0, no_probability, terms)
        loss = reduce(terms, axis=-1) * np.float32(temperature ** (power if squared else 0))
        return loss.reshape(right.shape) if np.ndim(loss) == np.ndim(right) else loss

    return quiet(wrong)


def largest_last(student_logits, teacher_logits, temperature=1.0, squared=True):
    s, t = student_logits / np.float32(temperature), teacher_logits / np.float32(temperature)
    top_s, top_t = s.max(axis=-1, keepdims=True), t.max(axis=-1, keepdims=True)
    q, p = np.exp(s - top_s).sum(axis=-1), np.exp(t - top_t)
    whole = p.sum(axis=-1)
    terms = np.where(p == 0, 0, p * ((t - (s - top_s)) - top_t)).sum(axis=-1)
    return (terms / whole + (np.log(q) - np.log(whole))) * np.float32(temperature**2 if squared else 1)


WRONG = {
    "the largest subtracted last": quiet(largest_last),
    "KL(student || teacher)": variant(direction="student"),
    "student softened alone": variant(soften="student"),
    "teacher softened alone": variant(soften="teacher"),
    "times temperature, not squared": variant(power=1),
    "never squared": variant(power=0),
    "0 * infinity": variant(no_probability=None),
    "mean over classes": variant(reduce=np.mean),
    "without the teacher's entropy": variant(teacher_entropy=False),
    "always squared": lambda student_logits, teacher_logits, temperature=1.0, squared=True: refq.kl_divergence(
        student_logits, teacher_logits, temperature
    ),
    "summed over positions": lambda **arguments: refq.kl_divergence(**arguments).sum(),
    "log(p + a little)": lambda **arguments: refq.kl_divergence(
        *(np.log(refq.softmax(arguments.pop(f"{who}_logits")) + np.float32(1e-6)) for who in ("student", "teacher")),
        **arguments,
    ),
}
