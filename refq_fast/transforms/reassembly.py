"""Twin of refq.transforms.reassembly: what a reassembled layer sees, in one pass."""

import math

import numpy as np

from refq.transforms import arguments
from refq_fast import threads
from refq_fast.kernel import serial


def reassemble_input(x, reassembly):
    """Twin of refq.reassemble_input.

    One pass over the members, parallel over many tokens.
    Spec: reassemble_input
    """
    x, (members, sizes, divisors) = arguments.reassembled("x", x, reassembly)
    rows = np.ascontiguousarray(x).reshape(math.prod(x.shape[:-1]), x.shape[-1])
    y, divisors = np.empty((len(rows), len(sizes)), x.dtype), divisors.astype(x.dtype)
    threads.over_rows(lambda *parts: _means(members, sizes, divisors, *parts), rows, y)
    return y.reshape(*x.shape[:-1], len(sizes))


@serial
def _means(members, sizes, divisors, x, y):
    for t in range(len(x)):
        at = 0
        for c in range(len(sizes)):
            total = x[t, members[at]]
            for k in range(at + 1, at + sizes[c]):
                total += x[t, members[k]]
            y[t, c] = total / divisors[c]
            at += sizes[c]
