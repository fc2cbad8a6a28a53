"""Twins of refq.ops.layer_norm."""

import numpy as np

from refq.ops import arguments
from refq_fast import threads
from refq_fast.kernel import serial
from refq_fast.sums import dot, total

PIECE = 2**16  # numbers whose share of the gradients of weight and bias is summed by one task


def layer_norm(x, weight, bias, eps):
    """Twin of refq.layer_norm.

    Three passes over each vector while it is in the cache, no temporaries.
    Spec: layer_norm
    """
    x, weight, bias, eps = arguments.layer_norm(x, weight, bias, eps)
    rows, weight, bias = _rows(x), np.ascontiguousarray(weight), np.ascontiguousarray(bias)
    y = np.empty_like(rows)
    threads.over_rows(lambda x, y: _norm(x, weight, bias, eps, y), rows, y)
    return y.reshape(x.shape)


def layer_norm_vjp(g, x, weight, bias, eps):
    """Twin of refq.layer_norm_vjp.

    As layer_norm; the gradients of weight and bias are summed over runs of vectors, then over the runs.
    Spec: layer_norm_vjp
    """
    x, weight, bias, eps = arguments.layer_norm(x, weight, bias, eps)
    g, rows, weight = _rows(arguments.incoming(g, x, x.shape)), _rows(x), np.ascontiguousarray(weight)
    cuts = threads.cuts(len(rows), min(len(rows), rows.size // PIECE))
    gx, partial = np.empty_like(rows), np.zeros((2, len(cuts), len(weight)), x.dtype)

    def compute(task):
        cut = cuts[task]
        _norm_vjp(g[cut], rows[cut], weight, eps, gx[cut], partial[0, task], partial[1, task])

    threads.each(compute, range(len(cuts)))
    return gx.reshape(x.shape), *partial.sum(axis=1)


def _rows(x):
    return np.ascontiguousarray(x).reshape(-1, x.shape[-1])


@serial
def _norm(x, weight, bias, eps, y):
    for row in range(len(x)):
        root = _centre(x[row], eps, y[row])
        for j in range(x.shape[1]):
            y[row, j] = y[row, j] / root * weight[j] + bias[j]


@serial
def _norm_vjp(g, x, weight, eps, gx, gweight, gbias):
    width, n, h = x.dtype.type(x.shape[1]), np.empty_like(weight), np.empty_like(weight)
    for row in range(len(x)):
        root = _centre(x[row], eps, n)
        for j in range(x.shape[1]):
            n[j] /= root
            h[j] = g[row, j] * weight[j]
            gweight[j] += g[row, j] * n[j]
            gbias[j] += g[row, j]
        mean, along = total(h) / width, dot(h, n) / width
        for j in range(x.shape[1]):
            gx[row, j] = (h[j] - mean - n[j] * along) / root


@serial
def _centre(x, eps, y):
    """y = x less its mean; and the standard deviation of x."""
    width = x.dtype.type(len(x))
    mean = total(x) / width
    for j in range(len(x)):
        y[j] = x[j] - mean
    return np.sqrt(dot(y, y) / width + eps)
