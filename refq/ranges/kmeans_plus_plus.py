"""First entries of a codebook that lie far from each other."""

import numpy as np

from refq.ranges.arguments import draw_arguments


def kmeans_plus_plus_init(groups, k, draws):
    """Codebook of k values of each group, each drawn in proportion to its squared distance to those before.

    codebook[0] = x[floor(draws[0] * n)]
    codebook[c] = the first x[j] with d[0] + .. + d[j] > draws[c] * sum(d), d = squared distance to the nearest entry

    Parameters
        groups: float32 (or float64) (..., n), finite; float64 at most 2**400 in size.
        k: int, 1..256.
        draws: float64 (..., k), 0 <= draws < 1: uniform random numbers, an argument so that the function is pure.
    Returns
        codebook: dtype of groups (..., k), in the order drawn; the last entry repeats once no distance is left.
    Raises
        GridError: k or a draw outside its range, or a value too large.
        NonFiniteError: groups or draws holds NaN or infinity.
        ShapeError: groups has no axis or no element a group, or draws another shape.

    >>> kmeans_plus_plus_init(np.float32([[0, 1, 10]]), 2, np.array([[0.2, 0.5]]))
    array([[ 0., 10.]], dtype=float32)

    Source: Arthur and Vassilvitskii 2007, section 2.2; the draws as arguments are our choice.
    Spec: kmeans_plus_plus_init
    """
    groups, k, draws = draw_arguments(groups, k, draws)
    codebook = np.empty((*groups.shape[:-1], k), groups.dtype)
    for group in np.ndindex(*groups.shape[:-1]):
        codebook[group] = _entries(groups[group], draws[group])
    return codebook


def _entries(x, draws):
    x = x + x.dtype.type(0)  # no -0
    entries = [x[int(draws[0] * x.size)]]
    distance = np.full(x.size, np.inf)
    for draw in draws[1:]:
        distance = np.minimum(distance, (x.astype(np.float64) - entries[-1]) ** 2)
        reached = np.cumsum(distance)  # one after the other
        drawn = np.searchsorted(reached, draw * reached[-1], side="right")
        entries.append(x[min(drawn, x.size - 1)] if reached[-1] else entries[-1])
    return entries
