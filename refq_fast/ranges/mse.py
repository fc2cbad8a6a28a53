"""Twin of refq.ranges.mse: all candidates of a group side by side, one element after the other."""

import numpy as np
from numba import prange

from refq import checks
from refq.ranges.minmax import grid_of_range
from refq_fast.kernel import parallel, serial
from refq_fast.ranges.minmax import observed_range

CHUNK = 64  # groups a task


def mse(groups, qmin, qmax, symmetric=True, scale_dtype="float32"):
    """Twin of refq.mse.

    Groups in parallel, candidates in vector lanes; the sum of each is still taken from left to right.
    Spec: mse
    """
    groups, qmin, qmax = checks.range_arguments(groups, qmin, qmax, symmetric, scale_dtype)
    lo, hi = observed_range(groups)
    scale, _ = grid_of_range(lo, hi, qmin, qmax, symmetric, scale_dtype)  # for its errors
    zero_point = np.empty(scale.shape, np.int32)
    real = groups.dtype.type
    _mse(
        np.ascontiguousarray(groups).reshape(-1, groups.shape[-1]),
        (lo.reshape(-1), hi.reshape(-1)),
        np.array([(100 - step) / 100 for step in range(80)], real),
        rule(real, qmin, qmax, symmetric, scale_dtype),
        scale.reshape(-1),
        zero_point.reshape(-1),
    )
    return scale, zero_point


def rule(real, qmin, qmax, symmetric, scale_dtype):
    """What a grid depends on beside its range, as the kernels take it; Numba knows no smallest subnormal."""
    return real(qmin), real(qmax), symmetric, scale_dtype == "float16", np.finfo(real).smallest_subnormal


@parallel
def _mse(x, ends, shrink, rule, scale, zero_point):
    for task in prange((len(x) + CHUNK - 1) // CHUNK):
        scales, zeros, cost = np.empty_like(shrink), np.empty_like(shrink), np.empty(len(shrink))
        for g in range(task * CHUNK, min(task * CHUNK + CHUNK, len(x))):
            for i in range(len(shrink)):
                scales[i], zeros[i] = grid(ends[0][g] * shrink[i], ends[1][g] * shrink[i], rule)
            best = first_best(x[g], scales, zeros, cost, rule, 1.0)
            scale[g], zero_point[g] = scales[best], np.int32(zeros[best])


@serial
def grid(low, high, rule):
    """Twin of grid_of_range for one group."""
    qmin, qmax, symmetric, half, smallest = rule
    one = qmax / qmax
    width, steps = (max(-low, high), qmax) if symmetric else (high - low, qmax - qmin)
    scale = one if width == 0 else stored_scale(width / steps, half, smallest)
    return scale, (one - one if symmetric else min(max(qmin - np.rint(low / scale), qmin), qmax))


@serial
def stored_scale(step, half, smallest):
    """Twin of stored_scale for one step that float16 does not round to infinity."""
    scale = max(step, smallest)
    if half:
        wide = np.float64(step)
        power = np.int64(wide.view(np.int64) & 0x7FF0000000000000).view(np.float64)  # 2**k <= step
        ulp = max(power, 2.0**-14) * 2.0**-10
        scale = type(step)(max(np.rint(wide / ulp) * ulp, 2.0**-24))
    return scale


@serial
def first_best(x, scales, zeros, cost, rule, gamma):
    """Index of the first grid with the least sum of squared errors, clipped ones weighted; cost is workspace."""
    qmin, qmax = rule[0], rule[1]
    cost[:] = 0
    for v in x:
        for i in range(len(scales)):
            u = np.rint(v / scales[i]) + zeros[i]
            q = min(max(u, qmin), qmax)
            error = np.float64((q - zeros[i]) * scales[i]) - np.float64(v)
            cost[i] += error * error * (1.0 if q == u else gamma)
    best = 0
    for i in range(1, len(scales)):
        if cost[i] < cost[best]:
            best = i
    return best
