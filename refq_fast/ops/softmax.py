"""Twins of refq.ops.softmax."""

import numpy as np

from refq import checks
from refq.ops import arguments
from refq_fast.exponential import exp_sum
from refq_fast.kernel import serial
from refq_fast.threads import over_rows


def softmax(x):
    """Twin of refq.softmax.

    Two passes over each row.
    Spec: softmax
    """
    x = arguments.last_axis("x", checks.as_float("x", x))
    return _by_rows(_softmax, x)


def log_softmax(x):
    """Twin of refq.log_softmax.

    Two passes over each row.
    Spec: log_softmax
    """
    x = arguments.last_axis("x", checks.as_float("x", x))
    return _by_rows(_log_softmax, x)


def _by_rows(kernel, x):
    rows = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
    y = np.empty_like(rows)
    over_rows(kernel, rows, rows.max(axis=1), y)
    return y.reshape(x.shape)


@serial
def _softmax(x, top, y):
    for row in range(len(x)):
        total = exp_sum(x[row], top[row], y[row])
        for j in range(x.shape[1]):
            y[row, j] /= total


@serial
def _log_softmax(x, top, y):
    for row in range(len(x)):
        log = np.log(exp_sum(x[row], top[row], y[row]))
        for j in range(x.shape[1]):
            y[row, j] = (x[row, j] - top[row]) - log
