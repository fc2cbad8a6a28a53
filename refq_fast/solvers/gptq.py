"""Twin of refq.solvers.gptq."""

import numpy as np

from refq.solvers import arguments
from refq.solvers.gptq import activation_order
from refq_fast.solvers.columns import solve


def gptq(w, hessian, scale, zero_point, qmin, qmax, act_order=False, damping=0.01):
    """Twin of refq.gptq.

    Everything but the last halves is products, by BLAS in float64; pieces of w in several threads.
    Spec: gptq
    """
    w, hessian, damping = arguments.weights(w, hessian, damping)
    scale, zero_point = arguments.grid(w, scale, zero_point, qmin, qmax)
    order = activation_order(hessian) if act_order else np.arange(w.shape[1])
    return solve(w, hessian, damping, order, (scale, zero_point, qmin, qmax))
