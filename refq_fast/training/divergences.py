"""Twins of refq.training.divergences: a row of student and teacher at a time."""

import numpy as np

from refq.training import arguments_losses as arguments
from refq.training.divergences import factor
from refq_fast.exponential import exp_pair, largest, scaled_exp_sum
from refq_fast.kernel import serial
from refq_fast.simd import LANES
from refq_fast.threads import over_rows


def kl_divergence(student_logits, teacher_logits, temperature=1.0, squared=True):
    """Twin of refq.kl_divergence.

    Rows come from memory once, and no probability goes back there.
    Spec: kl_divergence
    """
    student, teacher, temperature = arguments.logits(student_logits, teacher_logits, temperature)
    rows = _rows(student), _rows(teacher)
    loss = np.empty(len(rows[0]), student.dtype)
    over_rows(lambda *part: _divergence(*part, 1 / temperature), *rows, loss)
    return (loss * factor(temperature, squared)).reshape(student.shape[:-1])[()]


def kl_divergence_vjp(g, student_logits, teacher_logits, temperature=1.0, squared=True):
    """Twin of refq.kl_divergence_vjp.

    Rows come from memory once.
    Spec: kl_divergence_vjp
    """
    student, teacher, temperature = arguments.logits(student_logits, teacher_logits, temperature)
    g = arguments.incoming(g, student) * (factor(temperature, squared) / temperature)
    rows = _rows(student), _rows(teacher)
    gstudent = np.empty_like(rows[0])
    over_rows(lambda *part: _gradient(*part, 1 / temperature), *rows, np.ascontiguousarray(g).reshape(-1), gstudent)
    return gstudent.reshape(student.shape)


def _rows(x):
    return np.ascontiguousarray(x).reshape(-1, x.shape[-1])


@serial
def _divergence(student, teacher, loss, sharpness):
    V, x, sums = student.shape[1], (student.reshape(-1), teacher.reshape(-1)), np.empty((5, LANES), student.dtype)
    e, unused, none = np.zeros(2 * V, student.dtype), np.empty(V, student.dtype), student.dtype.type(0)
    top_s, top_t = largest(student[0]), largest(teacher[0])
    for row in range(len(loss)):
        places, numbers = (row * V, min(row + 1, len(loss) - 1) * V, 0), (sharpness, top_s, top_t, none, none)
        whole, whole_p, distance, top_s, top_t = exp_pair(x, places, V, numbers, e, unused, False, sums)
        loss[row] = distance / whole_p * sharpness + (np.log(whole) - np.log(whole_p))


@serial
def _gradient(student, teacher, g, gstudent, sharpness):
    p = np.empty(student.shape[1], student.dtype)
    for row in range(len(student)):
        s, t, q = student[row], teacher[row], gstudent[row]
        share = g[row] / scaled_exp_sum(s, largest(s), sharpness, q)
        share_p = g[row] / scaled_exp_sum(t, largest(t), sharpness, p)
        for j in range(len(s)):
            q[j] = q[j] * share - p[j] * share_p
