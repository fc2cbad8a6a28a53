"""Twins of refq.ops.rope."""

import numpy as np

from refq.ops import arguments
from refq_fast.kernel import serial
from refq_fast.threads import over_rows


def rope(x, positions, frequencies):
    """Twin of refq.rope.

    Cosines and sines once a position, then one pass.
    Spec: rope
    """
    return _rotated(*arguments.rope(x, positions, frequencies))


def rope_vjp(g, x, positions, frequencies):
    """Twin of refq.rope_vjp.

    As rope.
    Spec: rope_vjp
    """
    x, positions, frequencies = arguments.rope(x, positions, frequencies)
    return _rotated(arguments.incoming(g, x, x.shape), positions, -frequencies)


def _rotated(x, positions, frequencies):
    if positions.ndim > 1:  # otherwise they follow the last axis but one, and repeat
        positions = np.broadcast_to(positions, x.shape[:-1])
    angles = positions.reshape(-1, 1) * frequencies
    cos, sin = np.cos(angles).astype(x.dtype), np.sin(angles).astype(x.dtype)
    rows = np.ascontiguousarray(x).reshape(-1, max(len(cos), 1), x.shape[-1])
    y = np.empty_like(rows)
    over_rows(lambda x, y: _rotate(x, cos, sin, y), rows, y)
    return y.reshape(x.shape)


@serial
def _rotate(x, cos, sin, y):
    half = x.shape[2] // 2
    for row in range(x.shape[0]):
        for t in range(x.shape[1]):
            for i in range(half):
                first, second = x[row, t, i], x[row, t, i + half]
                y[row, t, i] = first * cos[t, i] - second * sin[t, i]
                y[row, t, i + half] = second * cos[t, i] + first * sin[t, i]
