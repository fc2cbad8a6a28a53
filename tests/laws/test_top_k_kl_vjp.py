"""Laws of top_k_kl_vjp."""

import inspect

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

import refq
from tests.laws import test_top_k_kl
from tests.laws.losses import assert_shares_cancel
from tests.laws.operations import assert_float64_is_kept, assert_linear_in, tenths
from tests.support import both


@st.composite
def arguments(draw):
    forward = draw(test_top_k_kl.arguments())
    return {"g": draw(tenths(forward["student_logits"].shape[:-1]))} | forward


def call(g, student, teacher, temperature):
    """Arguments for one position, all of the teacher's classes kept and not normalized again."""
    kept = refq.top_k_log_probs(np.float32([teacher]), len(teacher), temperature)
    values = np.float32([g]), np.float32([student]), *kept, temperature, True, False
    return dict(zip(inspect.signature(refq.top_k_kl_vjp).parameters, values, strict=True))


@both
@given(arguments())
def test_linear_in_g(engine, arguments):
    assert_linear_in(engine.top_k_kl_vjp, arguments)


@both
@given(arguments())
@example(call(2, [0.4, 2.2], [2, 2.9], 1024))
def test_it_sums_to_zero(engine, arguments):
    assert_shares_cancel(engine.top_k_kl_vjp(**arguments), **arguments)


@both
@given(arguments())
def test_renormalized_it_leaves_the_other_classes_alone(engine, arguments):
    gstudent = engine.top_k_kl_vjp(**(arguments | {"renormalize": True}))
    np.put_along_axis(gstudent, arguments["indices"], 0, axis=-1)
    assert not gstudent.any()


@both
@given(arguments())
def test_any_layout(engine, arguments):
    turned = {name: np.asfortranarray(v) for name, v in arguments.items() if isinstance(v, np.ndarray)}
    np.testing.assert_array_equal(engine.top_k_kl_vjp(**(arguments | turned)), engine.top_k_kl_vjp(**arguments))


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.top_k_kl_vjp, arguments)


def _slopes(function):
    """The gradients of a loss in float64, by central differences."""

    def vjp(g, student_logits, *rest, **named):
        refq.top_k_kl_vjp(g, student_logits, *rest, **named)
        student = student_logits.astype(np.float64)
        named = {n: v.astype(np.float64) if n == "teacher_log_probs" else v for n, v in named.items()}
        gstudent = np.zeros(student.shape)
        for index in np.ndindex(student.shape):
            for step in (1e-4, -1e-4):
                moved = student.copy()
                moved[index] += step
                gstudent[index] += (g * function(student_logits=moved, **named)).sum() / (2 * step)
        return gstudent.astype(np.float32)

    return vjp


def _assigned(g, student_logits, teacher_log_probs, indices, temperature=1.0, squared=True, renormalize=True):
    """What occurs twice overwrites."""
    right = refq.top_k_kl_vjp(g, student_logits, teacher_log_probs, indices, temperature, squared, renormalize)
    if not renormalize:
        return right
    f = np.float32(temperature if squared else 1 / temperature)
    q = refq.softmax(np.take_along_axis(student_logits, indices, axis=-1) / np.float32(temperature))
    np.put_along_axis(right, indices, g[..., None] * f * (q - refq.softmax(teacher_log_probs)), axis=-1)
    return right


def _without_the_mass(g, student_logits, teacher_log_probs, indices, temperature=1.0, squared=True, renormalize=True):
    right = refq.top_k_kl_vjp(g, student_logits, teacher_log_probs, indices, temperature, squared, renormalize)
    if renormalize:
        return right
    f = np.float32(temperature if squared else 1 / temperature)
    rest = 1 - np.exp(teacher_log_probs).sum(axis=-1, keepdims=True)
    return right + g[..., None] * f * rest * refq.softmax(student_logits / np.float32(temperature))


WRONG = {
    "always renormalized": _slopes(test_top_k_kl.variant(student_over=True, teacher_over=True)),
    "never renormalized": _slopes(test_top_k_kl.variant(student_over=False, teacher_over=False)),
    "teacher renormalized alone": _slopes(test_top_k_kl.variant(student_over=False)),
    "student renormalized alone": _slopes(test_top_k_kl.variant(teacher_over=False)),
    "never squared": lambda **arguments: refq.top_k_kl_vjp(**(arguments | {"squared": False})),
    "always squared": lambda **arguments: refq.top_k_kl_vjp(**(arguments | {"squared": True})),
    "assigned, not added": _assigned,
    "as if the kept probabilities summed to 1": _without_the_mass,
    "g forgotten": lambda g, **forward: refq.top_k_kl_vjp(np.ones_like(g), **forward),
    "sign": lambda **arguments: -refq.top_k_kl_vjp(**arguments),
}
