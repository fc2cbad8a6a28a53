"""Twins of refq.ops.rms_norm."""

import numpy as np

from refq.ops import arguments
from refq_fast import threads
from refq_fast.kernel import serial
from refq_fast.sums import dot

PIECE = 2**16  # numbers whose share of the gradient of the weight is summed by one task


def rms_norm(x, weight, eps):
    """Twin of refq.rms_norm.

    Two passes over each vector, no temporaries.
    Spec: rms_norm
    """
    x, weight, eps = arguments.rms_norm(x, weight, eps)
    rows, weight = _rows(x), np.ascontiguousarray(weight)
    y = np.empty_like(rows)
    threads.over_rows(lambda x, y: _norm(x, weight, eps, y), rows, y)
    return y.reshape(x.shape)


def rms_norm_vjp(g, x, weight, eps):
    """Twin of refq.rms_norm_vjp.

    Two passes over each vector; the gradient of the weight is summed over runs of vectors, then over the runs.
    Spec: rms_norm_vjp
    """
    x, weight, eps = arguments.rms_norm(x, weight, eps)
    g, rows, weight = _rows(arguments.incoming(g, x, x.shape)), _rows(x), np.ascontiguousarray(weight)
    cuts = threads.cuts(len(rows), min(len(rows), rows.size // PIECE))
    gx, partial = np.empty_like(rows), np.zeros((len(cuts), len(weight)), x.dtype)

    def compute(task):
        cut = cuts[task]
        _norm_vjp(g[cut], rows[cut], weight, eps, gx[cut], partial[task])

    threads.each(compute, range(len(cuts)))
    return gx.reshape(x.shape), partial.sum(axis=0)


def _rows(x):
    return np.ascontiguousarray(x).reshape(-1, x.shape[-1])


@serial
def _norm(x, weight, eps, y):
    for row in range(len(x)):
        root = np.sqrt(dot(x[row], x[row]) / x.dtype.type(x.shape[1]) + eps)
        for j in range(x.shape[1]):
            y[row, j] = x[row, j] / root * weight[j]


@serial
def _norm_vjp(g, x, weight, eps, gx, gweight):
    width = x.dtype.type(x.shape[1])
    for row in range(len(x)):
        root = np.sqrt(dot(x[row], x[row]) / width + eps)
        for j in range(x.shape[1]):
            gx[row, j] = g[row, j] * weight[j]
            gweight[j] += g[row, j] * (x[row, j] / root)
        mean = dot(gx[row], x[row]) / root / width
        for j in range(x.shape[1]):
            gx[row, j] = (gx[row, j] - x[row, j] / root * mean) / root
