"""Twin of refq.ranges.q4_k: the search in a kernel, a sub-block at a time."""

import numpy as np
from numba import prange

from refq.grids.arguments_blocks import block_values
from refq.ranges.q4_k import TRIALS, stored
from refq_fast.kernel import parallel, serial


def encode_q4_k(x):
    """Twin of refq.encode_q4_k.

    The search of a sub-block stays in registers and cache, parallel over sub-blocks; the bytes are made as there.
    Spec: encode_q4_k
    """
    groups = block_values(x, 8, 32)
    rows = np.ascontiguousarray(groups).reshape(-1, 32)
    scale, low = np.empty(len(rows), np.float32), np.empty(len(rows), np.float32)
    u = np.empty(rows.shape, np.float32)
    _search(rows, TRIALS, scale, low, u)
    return stored(groups, scale.reshape(groups.shape[:-1]), low.reshape(groups.shape[:-1]), u.reshape(groups.shape))


@parallel
def _search(x, trials, scale, low, u):
    for g in prange(len(x)):
        scale[g], low[g] = _fit(x[g], trials, u[g])


@serial
def _fit(x, trials, u):
    square, low, high = np.float32(0), np.float32(0), x[0]
    for v in x:
        square += v * v
        low, high = min(low, v), max(high, v)
    if low == high:
        u[:] = np.float32(0)
        return np.float32(0), low
    weight, mean = np.empty(32, np.float32), np.sqrt(square / np.float32(32))
    sum_w, sum_x = np.float32(0), np.float32(0)
    for i in range(32):
        weight[i] = mean + abs(x[i])
        sum_w += weight[i]
        sum_x += weight[i] * x[i]
    inverse = np.float32(15) / (high - low)
    scale, trial = np.float32(1) / inverse, np.empty(32, np.float32)
    _codes(x, inverse, low, u)
    best = _error(x, weight, scale, low, u)
    for steps in trials:
        _codes(x, steps / (high - low), low, trial)
        determinant, new_scale, new_low = _line(x, weight, trial, sum_w, sum_x)
        if determinant > np.float32(0):
            error = _error(x, weight, new_scale, new_low, trial)
            if error < best:
                best, scale, low = error, new_scale, new_low
                u[:] = trial
    return scale, low


@serial
def _line(x, weight, u, sum_w, sum_x):
    sum_u, sum_uu, sum_xu = np.float32(0), np.float32(0), np.float32(0)
    for i in range(32):
        sum_u += weight[i] * u[i]
        sum_uu += weight[i] * u[i] * u[i]
        sum_xu += weight[i] * u[i] * x[i]
    determinant = sum_w * sum_uu - sum_u * sum_u
    scale = (sum_w * sum_xu - sum_x * sum_u) / determinant
    low = (sum_uu * sum_x - sum_u * sum_xu) / determinant
    if low > np.float32(0):
        return determinant, sum_xu / sum_uu, np.float32(0)
    return determinant, scale, low


@serial
def _error(x, weight, scale, low, u):
    total = np.float32(0)
    for i in range(32):
        difference = scale * u[i] + low - x[i]
        total += weight[i] * (difference * difference)
    return total


@serial
def _codes(x, inverse, low, u):
    for i in range(32):
        t = inverse * (x[i] - low)
        finite = abs(t) < np.float32(np.inf)
        u[i] = min(max(np.rint(t), np.float32(0)), np.float32(15)) if finite else np.float32(0)
