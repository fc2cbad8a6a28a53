"""How far the probabilities of a student are from those of its teacher, position by position."""

import numpy as np

from refq.ops.softmax import log_softmax, softmax
from refq.training import arguments_losses as arguments


def kl_divergence(student_logits, teacher_logits, temperature=1.0, squared=True):
    """Kullback-Leibler divergence KL(teacher || student).

    loss = factor * sum p * (log p - log q),  p = softmax(teacher / temperature),  q = softmax(student / temperature)

    Parameters
        student_logits, teacher_logits: float32 (or float64), (..., V).
        temperature: 1/1024..1024.
        squared: factor = temperature**2, else 1.
    Returns
        loss: (...), dtype of student_logits, nats a position, at least 0.
    Raises
        ShapeError: shapes that do not fit; GridError: temperature.

    >>> kl_divergence(np.float32([[-200, 0]]), np.float32([[0, -200]]))
    array([200.], dtype=float32)

    Source: Kullback and Leibler 1951; temperature and its square: Hinton et al. 2015 (1503.02531), section 2, recalled.
    Spec: kl_divergence
    """
    student, teacher, temperature = arguments.logits(student_logits, teacher_logits, temperature)
    log_q, log_p = log_softmax(student / temperature), log_softmax(teacher / temperature)
    return expectation(np.exp(log_p), log_p, log_q) * factor(temperature, squared)


def kl_divergence_vjp(g, student_logits, teacher_logits, temperature=1.0, squared=True):
    """Gradient of kl_divergence with respect to student_logits.

    gstudent = g * factor / temperature * (q - p)

    Parameters
        g: (...), dtype of student_logits.
        student_logits, teacher_logits, temperature, squared: as kl_divergence takes them.
    Returns
        gstudent: shape and dtype of student_logits.
    Raises
        as kl_divergence; ShapeError if g has another shape than the loss.

    >>> kl_divergence_vjp(np.float32([2]), np.float32([[0, 0]]), np.float32([[0, -200]]))
    array([[-1.,  1.]], dtype=float32)

    Source: derivative of kl_divergence.
    Spec: kl_divergence_vjp
    """
    student, teacher, temperature = arguments.logits(student_logits, teacher_logits, temperature)
    g = arguments.incoming(g, student)
    q, p = softmax(student / temperature), softmax(teacher / temperature)
    return g * (factor(temperature, squared) / temperature) * (q - p)


def reverse_kl_divergence(student_logits, teacher_logits, temperature=1.0, squared=True):
    """Kullback-Leibler divergence KL(student || teacher).

    loss = factor * sum q * (log q - log p),  p, q and factor as in kl_divergence

    Parameters
        student_logits, teacher_logits, temperature, squared: as kl_divergence takes them.
    Returns
        loss: (...), dtype of student_logits, nats a position, at least 0.
    Raises
        as kl_divergence.

    >>> reverse_kl_divergence(np.float32([[0, -200]]), np.float32([[-100, 0]]))
    array([100.], dtype=float32)

    Source: Kullback and Leibler 1951.
    Spec: reverse_kl_divergence
    """
    student, teacher, temperature = arguments.logits(student_logits, teacher_logits, temperature)
    log_q, log_p = log_softmax(student / temperature), log_softmax(teacher / temperature)
    return expectation(np.exp(log_q), log_q, log_p) * factor(temperature, squared)


def reverse_kl_divergence_vjp(g, student_logits, teacher_logits, temperature=1.0, squared=True):
    """Gradient of reverse_kl_divergence with respect to student_logits.

    gstudent = g * factor / temperature * q * (r - sum q * r),  r = log q - log p

    Parameters
        g: (...), dtype of student_logits.
        student_logits, teacher_logits, temperature, squared: as kl_divergence takes them.
    Returns
        gstudent: shape and dtype of student_logits.
    Raises
        as kl_divergence; ShapeError if g has another shape than the loss.

    >>> reverse_kl_divergence_vjp(np.float32([1]), np.float32([[0, 0]]), np.float32([[4, 0]])).round(3)
    array([[-1.,  1.]], dtype=float32)

    Source: derivative of reverse_kl_divergence.
    Spec: reverse_kl_divergence_vjp
    """
    student, teacher, temperature = arguments.logits(student_logits, teacher_logits, temperature)
    g = arguments.incoming(g, student)
    log_q, log_p = log_softmax(student / temperature), log_softmax(teacher / temperature)
    return g * (factor(temperature, squared) / temperature) * _centred(np.exp(log_q), log_q, log_p)


def jensen_shannon_divergence(student_logits, teacher_logits, temperature=1.0, squared=True):
    """Jensen-Shannon divergence: both divergences from the mean of the two distributions, halved.

    loss = factor * (sum p * (log p - log m) + sum q * (log q - log m)) / 2,  m = (p + q) / 2,  else as kl_divergence

    Parameters
        student_logits, teacher_logits, temperature, squared: as kl_divergence takes them.
    Returns
        loss: (...), dtype of student_logits, nats a position, 0 to factor * log 2.
    Raises
        as kl_divergence.

    >>> jensen_shannon_divergence(np.float32([[0, -200]]), np.float32([[-200, 0]])).round(3)
    array([0.693], dtype=float32)

    Source: Lin 1991.
    Spec: jensen_shannon_divergence
    """
    student, teacher, temperature = arguments.logits(student_logits, teacher_logits, temperature)
    log_q, log_p = log_softmax(student / temperature), log_softmax(teacher / temperature)
    log_m = _log_mean(log_p, log_q)
    both = expectation(np.exp(log_p), log_p, log_m) + expectation(np.exp(log_q), log_q, log_m)
    return both * (factor(temperature, squared) / 2)


def jensen_shannon_divergence_vjp(g, student_logits, teacher_logits, temperature=1.0, squared=True):
    """Gradient of jensen_shannon_divergence with respect to student_logits.

    gstudent = g * factor / temperature * q * (r - sum q * r) / 2,  r = log q - log m

    Parameters
        g: (...), dtype of student_logits.
        student_logits, teacher_logits, temperature, squared: as kl_divergence takes them.
    Returns
        gstudent: shape and dtype of student_logits.
    Raises
        as kl_divergence; ShapeError if g has another shape than the loss.

    >>> g = np.float32([8 / np.log(3)])
    >>> jensen_shannon_divergence_vjp(g, np.float32([[0, 0]]), np.float32([[0, -200]])).round(3)
    array([[-1.,  1.]], dtype=float32)

    Source: derivative of jensen_shannon_divergence.
    Spec: jensen_shannon_divergence_vjp
    """
    student, teacher, temperature = arguments.logits(student_logits, teacher_logits, temperature)
    g = arguments.incoming(g, student)
    log_q, log_p = log_softmax(student / temperature), log_softmax(teacher / temperature)
    return (
        g * (factor(temperature, squared) / temperature / 2) * _centred(np.exp(log_q), log_q, _log_mean(log_p, log_q))
    )


def expectation(p, log_a, log_b):
    """Sum of p * (log a - log b) over the last axis."""
    return (p * _ratio(p, log_a, log_b)).sum(axis=-1)


def factor(temperature, squared):
    """What a loss of this temperature is multiplied by."""
    return temperature * temperature if squared else temperature.dtype.type(1)


def _centred(p, log_a, log_b):
    """p * (r - sum p * r) with r = log a - log b."""
    r = _ratio(p, log_a, log_b)
    return p * (r - (p * r).sum(axis=-1, keepdims=True))


def _ratio(p, log_a, log_b):
    """log a - log b; 0 where p is 0, so that a class of logit -infinity adds nothing."""
    return np.subtract(log_a, log_b, out=np.zeros_like(p), where=p != 0)


def _log_mean(log_p, log_q):
    return np.logaddexp(log_p, log_q) - log_p.dtype.type(np.log(2))
