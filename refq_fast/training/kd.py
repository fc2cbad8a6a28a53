"""Twin of refq.training.kd."""

import numpy as np

from refq.training import arguments_losses as arguments
from refq.training.divergences import factor
from refq_fast.exponential import exp_sums, largest, scaled_exp_sum
from refq_fast.kernel import serial
from refq_fast.threads import over_rows


def kd_kl_and_grad(student_logits, teacher_logits, targets, weight, alpha=1.0, temperature=1.0, squared=True):
    """Twin of refq.kd_kl_and_grad.

    Rows of student and teacher come from memory once; what is needed again of them is still in the cache.
    Spec: kd_kl_and_grad
    """
    student, teacher, targets, weight, alpha, temperature = arguments.distillation(
        student_logits, teacher_logits, targets, weight, alpha, temperature
    )
    rows = [np.ascontiguousarray(x).reshape(-1, x.shape[-1]) for x in (student, teacher)]
    labels, weights = np.ascontiguousarray(targets, np.int64).reshape(-1), np.ascontiguousarray(weight).reshape(-1)
    losses, glogits = np.zeros((len(labels), 2), student.dtype), np.empty_like(rows[0])
    scale = factor(temperature, squared)
    numbers = alpha * scale / temperature, 1 - alpha, 1 / temperature
    over_rows(lambda *part: _distill(*part, *numbers), *rows, labels, weights, losses, glogits)
    kl, ce = losses.T.reshape(2, *targets.shape)
    return kl * scale, ce, glogits.reshape(student.shape)


@serial
def _distill(student, teacher, targets, weight, losses, glogits, alpha, beta, sharpness):
    """alpha and beta: shares of the two gradients; sharpness: 1 / temperature."""
    one, V = student.dtype.type(1), student.shape[1]
    p, plain = np.empty(V, student.dtype), np.empty(V, student.dtype)
    for row in range(len(student)):
        s, t, q, g = student[row], teacher[row], glogits[row], weight[row]
        if g == 0:
            q[:] = 0
            continue
        top, top_teacher = largest(s), largest(t)
        whole, whole_p, distance = exp_sums(s, top, t, top_teacher, sharpness, q, p)
        losses[row, 0] = distance / whole_p * sharpness + (np.log(whole) - np.log(whole_p))
        share, share_p, share_plain = g * alpha / whole, g * alpha / whole_p, g * beta / whole
        if sharpness == one:
            share += share_plain
            for j in range(V):
                q[j] = q[j] * share - p[j] * share_p
        else:
            whole = scaled_exp_sum(s, top, one, plain)
            share_plain = g * beta / whole
            for j in range(V):
                q[j] = (q[j] * share - p[j] * share_p) + plain[j] * share_plain
        q[targets[row]] -= g * beta
        losses[row, 1] = np.log(whole) - (s[targets[row]] - top)
