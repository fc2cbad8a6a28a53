"""Distillation from the most probable classes of a teacher alone: what can be kept on disk."""

import numpy as np

from refq.ops.softmax import log_softmax, softmax
from refq.training import arguments_losses as arguments
from refq.training.divergences import expectation, factor


def top_k_log_probs(teacher_logits, k, temperature=1.0):
    """The k largest log-probabilities of each position, and their classes.

    log_probs, indices = the k largest of log_softmax(teacher / temperature), largest first

    Parameters
        teacher_logits: float32 (or float64), (..., V).
        k: 1..V.
        temperature: 1/1024..1024.
    Returns
        log_probs: (..., k), dtype of teacher_logits, in nats, of all V classes.
        indices: int32, (..., k); of equal logits the lower index comes first.
    Raises
        ShapeError: k; GridError: temperature.

    >>> log_probs, indices = top_k_log_probs(np.float32([0, 2, 2, 2]), 2)
    >>> np.exp(log_probs).round(2), indices
    (array([0.32, 0.32], dtype=float32), array([1, 2], dtype=int32))

    Source: OSTQuant (2501.13987), its KL-Top loss, for the use.
    Spec: top_k_log_probs
    """
    teacher, k, temperature = arguments.top_k(teacher_logits, k, temperature)
    indices = np.argsort(-teacher, axis=-1, kind="stable")[..., :k]
    log_probs = np.take_along_axis(log_softmax(teacher / temperature), indices, axis=-1)
    return log_probs, indices.astype(np.int32)


def top_k_kl(student_logits, teacher_log_probs, indices, temperature=1.0, squared=True, renormalize=True):
    """Kullback-Leibler divergence over the classes that were kept of the teacher.

    loss = factor * sum p * (log p - log q) over indices;  renormalize: p and q sum to 1 over indices, else over all V

    Parameters
        student_logits: float32 (or float64), (..., V).
        teacher_log_probs, indices: (..., k), as top_k_log_probs gives them at the same temperature.
        temperature: 1/1024..1024; it softens the student, the teacher is softened already.
        squared: factor = temperature**2, else 1.
        renormalize: two distributions over k classes; False: the true probabilities, and the rest is left out.
    Returns
        loss: (...), dtype of student_logits, nats a position; at least 0 if renormalize.
    Raises
        ShapeError: shapes that do not fit, or an index outside 0..V-1; GridError: temperature.

    >>> log_probs, indices = top_k_log_probs(np.float32([0, 1, 9]), 1)
    >>> student = np.float32([0, 0, -200])
    >>> [round(float(top_k_kl(student, log_probs, indices, renormalize=two))) for two in (True, False)]
    [0, 201]

    Source: OSTQuant (2501.13987), the two modes of its released program.
    Spec: top_k_kl
    """
    student, log_p, indices, temperature = arguments.top_k_kl(student_logits, teacher_log_probs, indices, temperature)
    log_q = log_softmax(student / temperature) if not renormalize else student / temperature
    log_q = np.take_along_axis(log_q, indices, axis=-1)
    if renormalize:
        log_q, log_p = log_softmax(log_q), log_softmax(log_p)
    return expectation(np.exp(log_p), log_p, log_q) * factor(temperature, squared)


def top_k_kl_vjp(g, student_logits, teacher_log_probs, indices, temperature=1.0, squared=True, renormalize=True):
    """Gradient of top_k_kl with respect to student_logits.

    gstudent = g * factor / temperature * (q - p);  renormalize: over indices, 0 elsewhere, else q * sum p - p

    Parameters
        g: (...), dtype of student_logits.
        student_logits, teacher_log_probs, indices, temperature, squared, renormalize: as top_k_kl takes them.
    Returns
        gstudent: shape and dtype of student_logits.
    Raises
        as top_k_kl; ShapeError if g has another shape than the loss.

    >>> log_probs, indices = top_k_log_probs(np.float32([0, 0, 100]), 2)
    >>> top_k_kl_vjp(np.float32(1), np.float32([0, 7, 0]), log_probs, indices)
    array([ 0.5,  0. , -0.5], dtype=float32)

    Source: derivative of top_k_kl.
    Spec: top_k_kl_vjp
    """
    student, log_p, indices, temperature = arguments.top_k_kl(student_logits, teacher_log_probs, indices, temperature)
    g = arguments.incoming(g, student)
    if renormalize:
        q = softmax(np.take_along_axis(student, indices, axis=-1) / temperature)
        slopes = _added(np.zeros_like(student), indices, q - softmax(log_p))
    else:
        p = np.exp(log_p)
        slopes = _added(softmax(student / temperature) * p.sum(axis=-1, keepdims=True), indices, -p)
    return g * (factor(temperature, squared) / temperature) * slopes


def _added(x, indices, values):
    """x (..., V), and values (..., k) added at indices; what occurs twice is added twice."""
    rows = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
    at = np.arange(len(rows))[:, None], indices.reshape(-1, indices.shape[-1])
    np.add.at(rows, at, values.reshape(at[1].shape))
    return rows.reshape(x.shape)
