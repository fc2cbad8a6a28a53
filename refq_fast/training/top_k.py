"""Twin of refq.training.top_k: nothing is sorted but the classes that are kept."""

import numpy as np

from refq.training import arguments_losses as arguments
from refq_fast.exponential import largest, scaled_exp_sum
from refq_fast.kernel import serial
from refq_fast.threads import over_rows


def top_k_log_probs(teacher_logits, k, temperature=1.0):
    """Twin of refq.top_k_log_probs.

    The k-th largest logit of a row is found first; then one pass collects, and k classes are sorted.
    Spec: top_k_log_probs
    """
    teacher, k, temperature = arguments.top_k(teacher_logits, k, temperature)
    rows = np.ascontiguousarray(teacher).reshape(-1, teacher.shape[-1])
    log_probs, indices = np.empty((len(rows), k), teacher.dtype), np.zeros((len(rows), k), np.int32)
    over_rows(lambda *part: _top_k(*part, 1 / temperature), rows, log_probs, indices)
    shape = (*teacher.shape[:-1], k)
    return log_probs.reshape(shape), indices.reshape(shape)


def _top_k(teacher, log_probs, indices, sharpness):
    k, V = indices.shape[1], teacher.shape[1]
    _collect(teacher, np.partition(teacher, V - k)[:, V - k], indices)
    kept = np.take_along_axis(teacher, indices, axis=1)
    order = np.argsort(-kept, axis=1, kind="stable")
    indices[:] = np.take_along_axis(indices, order, axis=1)
    _log_probs(teacher, indices, log_probs, sharpness)


@serial
def _collect(teacher, least, indices):
    """Where a row is above its least kept number, and as often as there is room where it equals that (NaN: nowhere)."""
    for row in range(len(teacher)):
        room = indices.shape[1]
        for value in teacher[row]:
            room -= value > least[row]
        at = 0
        for j in range(teacher.shape[1]):
            equal = teacher[row, j] == least[row]
            if teacher[row, j] > least[row] or (equal and room > 0):
                indices[row, at] = j
                at += 1
                room -= equal


@serial
def _log_probs(teacher, indices, log_probs, sharpness):
    e = np.empty(teacher.shape[1], teacher.dtype)
    for row in range(len(teacher)):
        x = teacher[row]
        top = largest(x)
        log = np.log(scaled_exp_sum(x, top, sharpness, e))
        for i in range(indices.shape[1]):
            log_probs[row, i] = (x[indices[row, i]] - top) * sharpness - log
