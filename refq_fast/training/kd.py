"""Twin of refq.training.kd."""

import numpy as np

from refq.training import arguments_losses as arguments
from refq.training.divergences import factor
from refq_fast.exponential import exp_pair, largest, scaled_exp_sum
from refq_fast.kernel import serial
from refq_fast.simd import LANES
from refq_fast.streams import FAR, aligned
from refq_fast.threads import over_rows


def kd_kl_and_grad(student_logits, teacher_logits, targets, weight, alpha=1.0, temperature=1.0, squared=True):
    """Twin of refq.kd_kl_and_grad.

    Rows of student and teacher come from memory once; what is needed again of them is still in the cache.
    Spec: kd_kl_and_grad
    """
    student, teacher, targets, weight, alpha, temperature = arguments.distillation(
        student_logits, teacher_logits, targets, weight, alpha, temperature
    )
    V, rows = student.shape[-1], [np.ascontiguousarray(x).reshape(-1, x.shape[-1]) for x in (student, teacher)]
    labels, weights = np.ascontiguousarray(targets, np.int64).reshape(-1), np.ascontiguousarray(weight).reshape(-1)
    losses, glogits = np.zeros((len(labels), 2), student.dtype), aligned(rows[0].shape, student.dtype)
    scale = factor(temperature, squared)
    numbers, far = (alpha * scale / temperature, 1 - alpha, 1 / temperature), glogits.size >= FAR

    def compute(student, teacher, *others):
        e = aligned((3, V + -V % LANES), student.dtype)
        _distill(student.reshape(-1), teacher.reshape(-1), *others[:-1], others[-1].reshape(-1), numbers, e, far)

    over_rows(compute, *rows, labels, weights, losses, glogits)
    kl, ce = losses.T.reshape(2, *targets.shape)
    return kl * scale, ce, glogits.reshape(student.shape)


@serial
def _distill(student, teacher, targets, weight, losses, glogits, numbers, e, far):
    """Flat logits. numbers: shares of the two gradients, and 1 / temperature. e: what exp_pair asks for, and a row."""
    alpha, beta, sharpness = numbers
    one, V, x = student.dtype.type(1), student.size // len(weight), (student, teacher)
    rows, sums, pair = np.nonzero(weight)[0], np.empty((5, LANES), student.dtype), e[:2].reshape(-1)
    top = top_t = share = share_p = one
    e[:] = 0
    if len(rows):
        top, top_t = largest(student[rows[0] * V :][:V]), largest(teacher[rows[0] * V :][:V])
    for n in range(len(rows)):
        row, last = rows[n], rows[max(n - 1, 0)]  # while the first is read, nothing of use is written there
        s, g, label, first = student[row * V : row * V + V], weight[row], targets[row], top
        places, used = (row * V, rows[min(n + 1, len(rows) - 1)] * V, last * V), (sharpness, top, top_t, share, share_p)
        whole, whole_p, distance, top, top_t = exp_pair(x, places, V, used, pair, glogits, far, sums)
        glogits[last * V + targets[last]] -= weight[last] * beta
        losses[row, 0] = distance / whole_p * sharpness + (np.log(whole) - np.log(whole_p))
        share, share_p = g * alpha / whole, g * alpha / whole_p
        if sharpness == one:
            share += g * beta / whole
        else:
            whole = scaled_exp_sum(s, first, one, e[2, :V])
            for j in range(V):
                e[0, j] = e[0, j] * share + e[2, j] * (g * beta / whole)
            share = one
        losses[row, 1] = np.log(whole) - (s[label] - first)
    for row in rows[-1:]:
        for j in range(V):
            glogits[row * V + j] = e[0, j] * share - e[1, j] * share_p
        glogits[row * V + targets[row]] -= weight[row] * beta
    for row in range(len(weight)):
        if weight[row] == 0:
            glogits[row * V : row * V + V] = 0
