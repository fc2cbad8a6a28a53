"""Which neighbour on the grid each weight takes."""

from refq.solvers.gptq import gptq
from refq.solvers.gptq_grouped import gptq_grouped
from refq.solvers.hessian import hessian, hessian_factor

__all__ = [
    "hessian",
    "hessian_factor",
    "gptq",
    "gptq_grouped",
]
