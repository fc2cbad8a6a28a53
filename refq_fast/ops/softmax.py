"""Twins of refq.ops.softmax."""

import numpy as np

from refq import checks
from refq.ops import arguments
from refq_fast.exponential import exp_sum, largest
from refq_fast.kernel import serial
from refq_fast.sums import dot, total
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


def softmax_vjp(g, x):
    """Twin of refq.softmax_vjp.

    Three passes over each row.
    Spec: softmax_vjp
    """
    x = arguments.last_axis("x", checks.as_float("x", x))
    return _by_rows(_softmax_vjp, x, arguments.incoming(g, x, x.shape))


def log_softmax_vjp(g, x):
    """Twin of refq.log_softmax_vjp.

    Three passes over each row.
    Spec: log_softmax_vjp
    """
    x = arguments.last_axis("x", checks.as_float("x", x))
    return _by_rows(_log_softmax_vjp, x, arguments.incoming(g, x, x.shape))


def _by_rows(kernel, x, *others):
    rows, *others = (np.ascontiguousarray(array).reshape(-1, x.shape[-1]) for array in (x, *others))
    y = np.empty_like(rows)
    over_rows(kernel, rows, *others, y)
    return y.reshape(x.shape)


@serial
def _softmax(x, y):
    for row in range(len(x)):
        share = x.dtype.type(1) / exp_sum(x[row], largest(x[row]), y[row])
        for j in range(x.shape[1]):
            y[row, j] *= share


@serial
def _log_softmax(x, y):
    for row in range(len(x)):
        top = largest(x[row])
        log = np.log(exp_sum(x[row], top, y[row]))
        for j in range(x.shape[1]):
            y[row, j] = (x[row, j] - top) - log


@serial
def _softmax_vjp(x, g, gx):
    for row in range(len(x)):
        share = x.dtype.type(1) / exp_sum(x[row], largest(x[row]), gx[row])
        mean = dot(g[row], gx[row]) * share
        for j in range(x.shape[1]):
            gx[row, j] = gx[row, j] * share * (g[row, j] - mean)


@serial
def _log_softmax_vjp(x, g, gx):
    for row in range(len(x)):
        share = total(g[row]) / exp_sum(x[row], largest(x[row]), gx[row])
        for j in range(x.shape[1]):
            gx[row, j] = g[row, j] - gx[row, j] * share
