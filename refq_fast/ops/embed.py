"""Twin of refq.ops.embed."""

import numpy as np

from refq.ops import arguments
from refq_fast import threads
from refq_fast.kernel import serial

COLUMNS = 128  # of a task at least


def embed_vjp(g, tokens, weight):
    """Twin of refq.embed_vjp.

    One pass over g, in the order of the tokens; threads share the columns.
    Spec: embed_vjp
    """
    tokens, weight = arguments.embed(tokens, weight)
    g = arguments.incoming(g, weight, (*tokens.shape, weight.shape[1]))
    rows = np.ascontiguousarray(g).reshape(tokens.size, weight.shape[1])
    tokens, gweight = np.ascontiguousarray(tokens, np.int64).reshape(-1), np.zeros(weight.shape, weight.dtype)
    columns = threads.cuts(weight.shape[1], min(weight.shape[1] // COLUMNS, rows.size // threads.PIECE))
    threads.each(lambda cut: _add(rows, tokens, cut.start, cut.stop, gweight), columns)
    return gweight


@serial
def _add(g, tokens, first, last, gweight):
    for row in range(len(tokens)):
        to = gweight[tokens[row]]
        for j in range(first, last):
            to[j] += g[row, j]
