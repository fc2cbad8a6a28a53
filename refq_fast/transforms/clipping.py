"""Twin of refq.transforms.clipping: the errors of a limit in one pass, a group of inputs a task."""

import numpy as np

from refq.ranges.awq import awq_range
from refq.transforms import arguments_scales as arguments
from refq.transforms.clipping import best_limit, second_moments
from refq_fast import blas
from refq_fast.kernel import serial


def awq_clip(x, w, bits=4, group_size=128, symmetric=False):
    """Twin of refq.awq_clip.

    A clipped group has clipped ends: its grid comes of these two. All errors of a group of inputs are one product.
    Spec: awq_clip
    """
    x, groups = arguments.clipping(x, w, group_size)
    moments = second_moments(x, groups)
    ends = np.concatenate([groups.min(axis=-1, keepdims=True), groups.max(axis=-1, keepdims=True)], axis=-1)

    def output_error(limit):
        scale, zero_point, qmin, qmax = awq_range(np.clip(ends, -limit, limit), bits, symmetric)
        parts, limits = (limit, scale, zero_point.astype(np.float32)), (np.float32(qmin), np.float32(qmax))
        error = np.empty(limit.shape)

        def compute(g):
            e = np.empty(groups[:, g].shape)
            _rounding_error(groups[:, g], *(part[:, g, 0] for part in parts), *limits, e)
            error[:, g, 0] = (e @ moments[g] * e).sum(axis=-1)

        blas.each(compute, range(groups.shape[1]))
        return error

    return best_limit(groups, output_error)


@serial
def _rounding_error(w, limit, scale, zero_point, qmin, qmax, e):
    for o in range(w.shape[0]):
        s, z = scale[o], zero_point[o]
        for i in range(w.shape[1]):
            c = min(max(w[o, i], -limit[o]), limit[o])
            w_hat = (min(max(np.rint(c / s) + z, qmin), qmax) - z) * s
            e[o, i] = np.float64(w_hat) - np.float64(w[o, i])
