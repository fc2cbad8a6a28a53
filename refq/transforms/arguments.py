"""The arguments of the transforms, each by its rule. Both packages call these, so their errors cannot diverge."""

import numpy as np

from refq import checks
from refq.errors import GridError, ShapeError
from refq.ops.arguments import positive


def maxima(maximum):
    """The largest size of every channel: finite, at least 0, at least one channel."""
    return at_least_0("maximum", vector("maximum", maximum))


def threshold(value, x):
    """A finite number above 0 in the dtype of x."""
    with np.errstate(over="ignore"):
        return x.dtype.type(positive("threshold", x.dtype.type(positive("threshold", value))))


def vector(name, value):
    """A finite float vector of at least one element."""
    value = checks.as_float(name, value)
    if value.ndim != 1 or not value.size:
        raise ShapeError(f"{name} has shape {value.shape}; one axis of length 1 or more is needed")
    return checks.finite(name, value)


def at_least_0(name, value):
    """No number below 0."""
    if value.min() < 0:
        raise GridError(f"{checks.first_wrong(name, value, value >= 0)}; 0 or more is needed")
    return value


def splits(counts):
    """How often every channel occurs, as int32: more than 2**20 times is no reassembly."""
    if counts.max() > checks.LIMIT:
        raise GridError(f"a channel would be split into {counts.max():g}; at most 2**20: raise the threshold")
    return counts.astype(np.int32)
