"""Lloyd's algorithm: assign every value to the nearest entry, move every entry to the mean of its members."""

import numpy as np

from refq.grids.codebook import nearest
from refq.ranges.arguments import codebook_arguments, iteration_count
from refq.ranges.linear_mean import member_means


def lloyd_step(groups, codebook):
    """One step of Lloyd's algorithm: the mean of each entry's members, and the index that made them members.

    index = argmin |x - codebook[index]|, the lower index on ties; codebook[i] = mean of the x with index i

    Parameters
        groups: float32 (or float64) (..., n), finite; float64 at most 2**400 in size.
        codebook: dtype of groups (..., k), 1 to 256 entries in any order, as the values.
    Returns
        codebook: dtype of groups (..., k); an entry without members stays what it was.
        index: uint8 (..., n), the nearest entry of the codebook given.
    Raises
        GridError: a value too large.
        NonFiniteError: groups or codebook holds NaN or infinity.
        ShapeError: groups has no axis or no element a group, or codebook does not fit.

    >>> lloyd_step(np.float32([[0, 2, 9]]), np.float32([[0, 8]]))
    (array([[1., 9.]], dtype=float32), array([[0, 0, 1]], dtype=uint8))

    Source: Lloyd 1982, method I; ties and empty entries are our choice.
    Spec: lloyd_step
    """
    groups, codebook = codebook_arguments(groups, codebook)
    index = assign(groups, codebook)
    return member_means(groups, index, codebook).astype(groups.dtype), index


def lloyd(groups, codebook, iterations=3):
    """Some steps of Lloyd's algorithm, and the index of the last codebook.

    at most `iterations` times codebook, _ = lloyd_step(groups, codebook); then index = the nearest entries

    Parameters
        groups, codebook: as lloyd_step takes them.
        iterations: int, 0 or more.
    Returns
        codebook: dtype of groups (..., k).
        index: uint8 (..., n), the nearest entry of that codebook.
    Raises
        as lloyd_step; ShapeError: iterations below 0.

    >>> lloyd(np.float32([[0, 2, 9]]), np.float32([[0, 8]]), 1)
    (array([[1., 9.]], dtype=float32), array([[0, 0, 1]], dtype=uint8))

    Source: 2010.07109 (recalled, unverified) for the three iterations; the last assignment is our choice.
    Spec: lloyd
    """
    groups, codebook = codebook_arguments(groups, codebook)
    for _ in range(iteration_count(iterations)):
        before = codebook
        codebook, index = lloyd_step(groups, codebook)
        if np.array_equal(codebook, before):
            return codebook, index
    return codebook.copy(), assign(groups, codebook)


def assign(groups, codebook):
    """Index of the entry nearest to each value, each group by its own codebook."""
    index = np.empty(groups.shape, np.uint8)
    for group in np.ndindex(*groups.shape[:-1]):
        index[group] = nearest(groups[group], codebook[group])
    return index
