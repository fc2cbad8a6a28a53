"""Twin of refq.solvers.gptq_grouped."""

import numpy as np

from refq.ranges.minmax import minmax
from refq.solvers import arguments
from refq_fast.solvers.columns import solve


def gptq_grouped(w, hessian, group_size, qmin, qmax, symmetric=True, damping=0.01):
    """Twin of refq.gptq_grouped.

    As gptq; halves are whole groups.
    Spec: gptq_grouped
    """
    w, hessian, damping = arguments.weights(w, hessian, damping)
    group_size = arguments.groups(w, group_size, qmin, qmax, symmetric)
    return grouped(w, hessian, group_size, (qmin, qmax), damping, lambda v: minmax(v, qmin, qmax, symmetric))


def grouped(w, hessian, group_size, limits, damping, fit):
    """gptq_grouped with another rule: fit(groups) -> scale and zero_point (out, 1)."""
    shape = len(w), w.shape[1] // group_size
    grid = np.empty(shape, w.dtype), np.empty(shape, np.int32)
    return *solve(w, hessian, damping, np.arange(w.shape[1]), (*grid, *limits), fit), *grid
