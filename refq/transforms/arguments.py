"""The arguments of the transforms, each by its rule. Both packages call these, so their errors cannot diverge."""

import math

import numpy as np

from refq import checks
from refq.errors import DtypeError, GridError, ShapeError
from refq.ops.arguments import incoming as incoming
from refq.ops.arguments import last_axis as last_axis
from refq.ops.arguments import positive

MOST = 2**20  # channels


def maxima(maximum, name="maximum"):
    """A size of every channel: finite, at least 0, at least one channel."""
    return at_least_0(name, vector(name, maximum))


def moderate_maxima(maximum):
    """The same, for a search that takes the more steps the larger the largest one is."""
    return checks.within("maximum", maxima(maximum), 0, 2.0**20)


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


def ratio(value):
    """A finite number, 0 or more."""
    if not 0 <= checks.number("ratio", value) < math.inf:
        raise GridError(f"ratio={value}; a finite number, 0 or more, is needed")
    return float(value)


def points(value):
    """How many thresholds: 1..2**20."""
    if not 1 <= checks.integer("points", value) <= checks.LIMIT:
        raise GridError(f"points={value}; 1..2**20 is needed")
    return int(value)


def splits(counts):
    """How often every channel occurs, as int32: more than 2**20 times is no reassembly."""
    if counts.max() > checks.LIMIT:
        raise GridError(f"a channel would be split into {counts.max():g}; at most 2**20: raise the threshold")
    return counts.astype(np.int32)


def channels(x, w):
    """Tokens x (tokens, channels) and a weight w (out, channels) of one dtype, finite; at least one channel."""
    x = _matrix("x", checks.as_float("x", x))
    w = _matrix("w", checks.as_float_like("w", w, x))
    checks.same_shape("w", w, f"x of shape {x.shape}", (w.shape[0], x.shape[1]))
    return x, w


def matching(distance, count, fixed):
    """Distances (channels, channels), how many channels to merge, and which ones take no part (None: all do)."""
    distance = _matrix("distance", checks.as_float("distance", distance))
    checks.same_shape("distance", distance, "a square", (distance.shape[1],) * 2)
    return distance, checks.count("count", count), marks("fixed", fixed, distance.shape[1])


def marks(name, value, length):
    """Truth values, one a channel; None for none marked."""
    value = np.zeros(length, bool) if value is None else np.asarray(value)
    if value.dtype != bool:
        raise DtypeError(f"{name} is {value.dtype}; bool is needed")
    return checks.same_shape(name, value, "its partner", (length,))


def enough(count, free):
    """No more channels can go than there are."""
    if count > free:
        raise GridError(f"{count} channels should go, {free} can: a higher threshold splits fewer channels")
    return count


def assembly(counts, into):
    """counts (channels,), 1 or more; into (sum of counts,): -1, or a place that stays, where all have one count."""
    counts = _integers("counts", counts, 1, checks.LIMIT)
    total = int(counts.sum(dtype=np.int64))
    if total > MOST:
        raise GridError(f"the counts make {total} channels; at most 2**20 are supported")
    into = _integers("into", into, -1, total - 1)
    checks.same_shape("into", into, f"counts of sum {total}", (total,))
    there = into >= 0
    if not there.any():
        raise GridError("into keeps no channel; at least one must stay")
    if (into[into[there]] != into[there]).any():
        raise GridError("into names a channel that goes itself; only those that stay take others in")
    copies = np.repeat(counts, counts)
    if (copies[into[there]] != copies[there]).any():
        raise GridError("into merges channels of different counts; only parts of one size have a mean")
    return counts, into


def reassembled(name, x, value):
    """x (..., channels), and members, sizes, divisors as int32: each new channel has members among those of x."""
    x = last_axis(name, checks.as_float(name, x))
    if not isinstance(value, (tuple, list)) or len(value) != 3:
        raise ShapeError("a reassembly is members, sizes and divisors")
    members = _integers("members", value[0], 0, x.shape[-1] - 1)
    sizes, divisors = _integers("sizes", value[1], 1, MOST), _integers("divisors", value[2], 1, 2**31 - 1)
    checks.same_shape("divisors", divisors, "sizes", sizes.shape)
    total = int(sizes.sum(dtype=np.int64))
    checks.same_shape("members", members, f"sizes of sum {total}", (total,))
    return x, (members, sizes, divisors)


def _integers(name, value, low, high):
    value = checks.as_integer(name, value)
    if value.ndim != 1 or not value.size:
        raise ShapeError(f"{name} has shape {value.shape}; one axis of length 1 or more is needed")
    return checks.within(name, value, low, high).astype(np.int32, copy=False)


def _matrix(name, value):
    if value.ndim != 2 or not value.size:
        raise ShapeError(f"{name} has shape {value.shape}; two axes of length 1 or more are needed")
    return checks.finite(name, value)
