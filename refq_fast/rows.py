"""What the kernels of grids that learn share: rows cut into pieces, and their sums in an order of the shape alone."""

import numpy as np

from refq import checks
from refq.tape import unbroadcast

PIECE = 2048  # elements whose terms are summed at once: they stay in the nearest cache
TASK = 16384  # elements a task, at least


def pieces_of(rows):
    """Room for a number of every piece of every row, and how many pieces a task takes."""
    count = max(1, -(-rows.shape[1] // PIECE))
    return np.empty((len(rows), count), rows.dtype), max(1, TASK // max(1, min(PIECE, rows.shape[1])))


def gathered(sums, x, parameter):
    """The sums of all pieces (rows, pieces), added up to the shape of a parameter that broadcasts to x."""
    sums = sums.sum(axis=1)
    if sums.size == 1:
        shape = (1,) * x.ndim
    else:
        shape = x.shape if sums.size == x.size else (*x.shape[:-1], 1)
    return unbroadcast(sums.reshape(shape), np.shape(parameter))


def finite(sums, **arrays):
    """Refuse NaN and infinity in the arrays, which are looked at only if they left their mark in the sums."""
    if not np.isfinite(sums).all():
        for name, array in arrays.items():
            checks.finite(name, array)
