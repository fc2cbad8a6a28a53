"""Twin of refq.ops.integer_matmul."""

import numpy as np

from refq import checks
from refq.ops import arguments
from refq.ops.integer_matmul import integer_matmul as exact
from refq.ops.integer_matmul import sum_type
from refq_fast import integers


def integer_matmul(q, zero_point, packed, weight_zero_point, bits):
    """Twin of refq.integer_matmul.

    Codes of x of 8 bits, zero points too: dot products of bytes, at 2 to 4 bits read out of half bytes. Sums beyond
    int32, and what is wider, are those of refq.
    Spec: integer_matmul
    """
    q, zero_point, packed, grid, bits = arguments.integer_matmul(q, zero_point, packed, weight_zero_point, bits)
    checks.unused_bits(packed, q.shape[-1] * bits)
    if q.size and sum_type(q, zero_point, grid, bits) is np.int32 and -128 <= q.min() <= q.max() < 128:
        weight = integers.weight(packed, np.ones(grid.shape, np.float32), grid, bits, q.shape[-1])
        zeros = np.broadcast_to(zero_point, (*q.shape[:-1], 1)).reshape(-1)
        if weight is not None and -128 <= zeros.min() <= zeros.max() < 128:  # groups are filled up with zero points
            rows = np.ascontiguousarray(q, np.int32).reshape(-1, q.shape[-1])
            y = integers.sums(rows, zeros.astype(np.int32), weight)
            return y.reshape(*q.shape[:-1], *grid.shape)
    return exact(q, zero_point, packed, weight_zero_point, bits)
