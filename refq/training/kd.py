"""Distillation and cross-entropy mixed: the losses of a training step and their gradient in one call."""

import numpy as np

from refq.ops.cross_entropy import cross_entropy, cross_entropy_vjp
from refq.training import arguments_losses as arguments
from refq.training.divergences import kl_divergence, kl_divergence_vjp


def kd_kl_and_grad(student_logits, teacher_logits, targets, weight, alpha=1.0, temperature=1.0, squared=True):
    """Divergence from the teacher and cross-entropy, a position, and the gradient of their weighted sum.

    glogits = d/dstudent sum weight * (alpha * kl + (1 - alpha) * ce)

    Parameters
        student_logits, teacher_logits: float32 (or float64), (..., V).
        targets: integers, (...), 0..V-1.
        weight: (...), dtype of student_logits; where it is 0, nothing is computed and the results are 0.
        alpha: 0..1, the share of kl; ce has the rest, at temperature 1.
        temperature, squared: as kl_divergence takes them.
    Returns
        kl, ce: (...), dtype of student_logits, in nats, not weighted.
        glogits: shape and dtype of student_logits.
    Raises
        as kl_divergence and cross_entropy; GridError if alpha is outside 0..1.

    >>> student, teacher = np.float32([[0, 0]]), np.float32([[0, -200]])
    >>> kl, ce, glogits = kd_kl_and_grad(student, teacher, np.array([1]), np.float32([2]), alpha=0.75)
    >>> kl.round(3), ce.round(3), glogits
    (array([0.693], dtype=float32), array([0.693], dtype=float32), array([[-0.5,  0.5]], dtype=float32))

    Source: derivatives of kl_divergence and cross_entropy.
    Spec: kd_kl_and_grad
    """
    student, teacher, targets, weight, alpha, temperature = arguments.distillation(
        student_logits, teacher_logits, targets, weight, alpha, temperature
    )
    kl, ce, glogits = np.zeros_like(weight), np.zeros_like(weight), np.zeros_like(student)
    at = weight != 0
    student, teacher, targets, weight = student[at], teacher[at], targets[at], weight[at]
    kl[at] = kl_divergence(student, teacher, temperature, squared)
    ce[at] = cross_entropy(student, targets)
    glogits[at] = kl_divergence_vjp(weight * alpha, student, teacher, temperature, squared)
    glogits[at] += cross_entropy_vjp(weight * (1 - alpha), student, targets)
    return kl, ce, glogits
