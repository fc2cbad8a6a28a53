"""Twins of refq.ops.cross_entropy."""

import numpy as np

from refq.ops import arguments
from refq_fast.exponential import exp_sum, largest
from refq_fast.kernel import serial
from refq_fast.threads import over_rows


def cross_entropy(logits, targets):
    """Twin of refq.cross_entropy.

    Two passes over each row; the log-probabilities are not stored.
    Spec: cross_entropy
    """
    logits, targets = arguments.cross_entropy(logits, targets)
    rows = _rows(logits)
    loss = np.empty(len(rows), logits.dtype)
    over_rows(_loss, rows, _flat(targets), loss)
    return loss.reshape(targets.shape)[()]


def cross_entropy_vjp(g, logits, targets):
    """Twin of refq.cross_entropy_vjp.

    Three passes over each row.
    Spec: cross_entropy_vjp
    """
    logits, targets = arguments.cross_entropy(logits, targets)
    g = arguments.incoming(g, logits, targets.shape)
    rows = _rows(logits)
    glogits = np.empty_like(rows)
    over_rows(_gradient, rows, _flat(targets), _flat(g), glogits)
    return glogits.reshape(logits.shape)


def _rows(logits):
    return np.ascontiguousarray(logits).reshape(-1, logits.shape[-1])


def _flat(x):
    x = np.ascontiguousarray(x).reshape(-1)
    return x.astype(np.int64, copy=False) if x.dtype.kind in "iu" else x


@serial
def _loss(logits, targets, loss):
    e = np.empty(logits.shape[1], logits.dtype)
    for row in range(len(logits)):
        top = largest(logits[row])
        loss[row] = np.log(exp_sum(logits[row], top, e)) - (logits[row, targets[row]] - top)


@serial
def _gradient(logits, targets, g, glogits):
    for row in range(len(logits)):
        share = g[row] / exp_sum(logits[row], largest(logits[row]), glogits[row])
        for j in range(logits.shape[1]):
            glogits[row, j] *= share
        glogits[row, targets[row]] -= g[row]
