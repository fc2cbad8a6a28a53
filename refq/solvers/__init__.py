"""Which neighbour on the grid each weight takes."""

from refq.solvers.hessian import hessian, hessian_factor

__all__ = [
    "hessian",
    "hessian_factor",
]
