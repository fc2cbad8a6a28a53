"""Twin of refq.ranges.sqnr."""

import numpy as np
from numba import prange

from refq import checks
from refq.ranges.minmax import grid_of_range
from refq.ranges.sqnr import BINS, largest
from refq_fast.kernel import parallel, serial
from refq_fast.ranges.minmax import observed_range
from refq_fast.ranges.mse import CHUNK, first_best, grid, rule, stored_scale


def sqnr(groups, qmin, qmax, symmetric=True, scale_dtype="float32", gamma=3.0):
    """Twin of refq.sqnr.

    Groups in parallel, candidates in vector lanes; the sum of each is still taken from left to right.
    Spec: sqnr
    """
    groups, qmin, qmax = checks.range_arguments(groups, qmin, qmax, symmetric, scale_dtype)
    limit = largest(qmin, qmax, scale_dtype)
    checks.within("groups", groups, -limit, limit)
    gamma = float(checks.within("gamma", np.float64(checks.number("gamma", gamma)), 2.0**-20, 2.0**20))
    lo, hi = observed_range(groups)
    scale, _ = grid_of_range(lo, hi, qmin, qmax, symmetric, scale_dtype)  # for its errors
    zero_point = np.empty(scale.shape, np.int32)
    real = groups.dtype.type
    places = min(qmax - qmin, 19)
    offsets = np.rint(np.arange(places + 1) * (qmax - qmin) / places) - (qmax - qmin)
    _sqnr(
        np.ascontiguousarray(groups).reshape(-1, groups.shape[-1]),
        (lo.reshape(-1), hi.reshape(-1)),
        offsets.astype(real),
        rule(real, qmin, qmax, symmetric, scale_dtype),
        gamma,
        scale.reshape(-1),
        zero_point.reshape(-1),
    )
    return scale, zero_point


@parallel
def _sqnr(x, ends, offsets, rule, gamma, scale, zero_point):
    count = 102 if rule[2] else 1 + 17 * (len(offsets) + 1)
    for task in prange((len(x) + CHUNK - 1) // CHUNK):
        centres, cost = np.empty_like(x[0]), np.empty(count)
        scales, zeros = np.zeros(count, x.dtype), np.zeros(count, x.dtype)
        for g in range(task * CHUNK, min(task * CHUNK + CHUNK, len(x))):
            low, high = ends[0][g], ends[1][g]
            scales[0], zeros[0] = grid(low, high, rule)
            if rule[2]:
                _symmetric(max(-low, high), rule, scales)
            else:
                _ranges(low, high, offsets, rule, scales, zeros)
            _bin_centres(x[g], centres)
            best = first_best(centres, scales, zeros, cost, rule, gamma)
            scale[g], zero_point[g] = scales[best], np.int32(zeros[best])


@serial
def _symmetric(absmax, rule, scales):
    real = type(absmax)
    widest = absmax / (rule[1] - rule[0]) * real(2)
    for i in range(1, len(scales)):
        scales[i] = stored_scale(widest * real(i) / real(100), rule[3], rule[4])


@serial
def _ranges(lo, hi, offsets, rule, scales, zeros):
    real = type(lo)
    steps = rule[1] - rule[0]
    widest = stored_scale((hi - lo) / steps, False, rule[4])
    seen = min(max(np.rint(lo / widest), -steps), real(0))
    lowest = widest * seen
    highest = lowest + widest * steps
    for j in range(17):
        step = widest * real((j + 1) / 16)
        for k in range(len(offsets) + 1):
            low = step * (offsets[k] if k < len(offsets) else seen)
            i = 1 + j * (len(offsets) + 1) + k
            scales[i], zeros[i] = grid(max(low, lowest), min(low + step * steps, highest), rule)


@serial
def _bin_centres(x, centres):
    real = type(x[0])
    low = x.min()
    bin_width = (x.max() - low) / real(BINS)
    for i in range(len(x)):
        centres[i] = x[i]
        if bin_width != 0:
            bins = min(np.floor((x[i] - low) / bin_width), real(BINS - 1))
            centres[i] = (low + bin_width / real(2)) + bins * bin_width
