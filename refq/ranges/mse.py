"""The shrunken min-max grid with the smallest squared error."""

import numpy as np

from refq import checks
from refq.grids.affine import fake_quantize
from refq.ranges.minmax import grid_of_range, observed_range


def mse(groups, qmin, qmax, symmetric=True, scale_dtype="float32"):
    """Scale and zero point of the grid, among 80 shrunken ranges, with the smallest squared error in each group.

    argmin over p = 1.00, 0.99 .. 0.21 of sum (fake_quantize(x) - x)**2 on the grid of p * lo .. p * hi

    Parameters
        groups, qmin, qmax, symmetric, scale_dtype: as minmax takes them.
    Returns
        scale, zero_point: as minmax.
    Raises
        as minmax.

    >>> mse(np.float32([[1, 1, 1, 1.5]]), -2, 1)
    (array([[1.125]], dtype=float32), array([[0]], dtype=int32))

    Source: the shrink factors are those of GPTQ's quantizer, which minimizes a sum of powers 2.4; ours is 2.
    Spec: mse
    """
    groups, qmin, qmax = checks.range_arguments(groups, qmin, qmax, symmetric, scale_dtype)
    lo, hi = observed_range(groups)

    def grid(step):
        shrink = groups.dtype.type((100 - step) / 100)
        return grid_of_range(lo * shrink, hi * shrink, qmin, qmax, symmetric, scale_dtype)

    def cost(scale, zero_point):
        error = fake_quantize(groups, scale, zero_point, qmin, qmax).astype(np.float64) - groups
        with np.errstate(over="ignore"):
            return sequential_sum(error * error)

    return first_best((grid(step) for step in range(80)), cost)


def first_best(grids, cost):
    """For each group the grid of the smallest cost; of equal ones the first."""
    grids = iter(grids)
    best = next(grids)
    least = cost(*best)
    for grid in grids:
        now = cost(*grid)
        better = now < least
        least = np.where(better, now, least)
        best = tuple(np.where(better, new, old) for new, old in zip(grid, best, strict=True))
    return best


def sequential_sum(terms):
    """Sum over the last axis (..., 1), from left to right, in their dtype: np.sum would choose an order of its own."""
    return np.cumsum(terms, axis=-1)[..., -1:]
