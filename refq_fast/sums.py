"""Sums for kernels, each in a loop of its own: in one that also writes, the order would depend on where arrays lie."""

import numpy as np

from refq_fast.kernel import summing


@summing
def total(x):
    """The sum of a row."""
    result = x.dtype.type(0)
    for j in range(len(x)):
        result += x[j]
    return result


@summing
def dot(a, b):
    """The product of two rows."""
    result = a.dtype.type(0)
    for j in range(len(a)):
        result += a[j] * b[j]
    return result


@summing
def squares(x):
    """The sum of the squares of a row, in float64."""
    result = np.float64(0)
    for j in range(len(x)):
        result += np.float64(x[j]) * np.float64(x[j])
    return result
