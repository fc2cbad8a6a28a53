"""Twin of refq.ranges.q6_k: the search in a kernel, a sub-block at a time."""

import numpy as np
from numba import prange

from refq.grids.arguments_blocks import block_values
from refq.ranges.q6_k import SMALLEST, TRIALS, stored
from refq_fast.kernel import parallel, serial


def encode_q6_k(x):
    """Twin of refq.encode_q6_k.

    The search of a sub-block stays in registers and cache, parallel over sub-blocks; the bytes are made as there.
    Spec: encode_q6_k
    """
    groups = block_values(x, 16, 16)
    rows = np.ascontiguousarray(groups).reshape(-1, 16)
    scale, u = np.empty(len(rows), np.float32), np.empty(rows.shape, np.float32)
    _search(rows, np.array(TRIALS), SMALLEST, scale, u)
    return stored(groups, scale.reshape(groups.shape[:-1]), u.reshape(groups.shape))


@parallel
def _search(x, trials, smallest, scale, u):
    for g in prange(len(x)):
        scale[g] = _fit(x[g], trials, smallest, u[g])


@serial
def _fit(x, trials, smallest, u):
    largest = np.float32(0)
    for v in x:
        if abs(v) > abs(largest):
            largest = v
    if abs(largest) < smallest:
        u[:] = np.float32(-32)
        return np.float32(0)
    scale, best, trial = np.float32(0), np.float32(0), np.empty(16, np.float32)
    for k in range(len(trials)):
        products, squares, inverse = np.float32(0), np.float32(0), -trials[k] / largest
        for i in range(16):
            trial[i] = min(max(np.rint(inverse * x[i]), np.float32(-32)), np.float32(31))
            products += x[i] * x[i] * x[i] * trial[i]
            squares += x[i] * x[i] * trial[i] * trial[i]
        if k == 0 or (squares > np.float32(0) and products * products > best * squares):
            scale = products / squares if squares > np.float32(0) else np.float32(0)
            best = scale * products
            u[:] = trial
    return scale
