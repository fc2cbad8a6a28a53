"""Twin of refq.ranges.linear_round."""

import numpy as np
from numba import prange

from refq.ranges.arguments import linear_arguments
from refq.ranges.linear_mean import between, ends, width
from refq_fast.grids.affine import CHUNK
from refq_fast.kernel import parallel
from refq_fast.ranges.linear_mean import as_groups


def linear_round(groups, bits):
    """Twin of refq.linear_round.

    One pass over the values, parallel.
    Spec: linear_round
    """
    groups, entries = linear_arguments(groups, bits)
    lo, hi = ends(groups)
    index = np.empty(groups.shape, np.uint8)
    rows = as_groups(groups)
    _round(rows, lo.reshape(-1), width(lo, hi).reshape(-1), entries - 1, index.reshape(rows.shape))
    return between(lo, hi, np.arange(entries), entries - 1).astype(groups.dtype), index


@parallel
def _round(x, lo, width, steps, index):
    groups, n = x.shape
    chunks = (n + CHUNK - 1) // CHUNK
    for task in prange(groups * chunks):
        group, first = task // chunks, (task % chunks) * CHUNK
        for j in range(first, min(first + CHUNK, n)):
            index[group, j] = np.uint8(np.rint((np.float64(x[group, j]) - lo[group]) * steps / width[group]))
