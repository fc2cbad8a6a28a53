"""What calibration learns of channels: pure functions of inputs, and how what two texts gave is joined."""

import functools
from typing import NamedTuple

import numpy as np


class Channels(NamedTuple):
    """Of each channel: the ends of its values, the sum of their sizes; and how many there were. (channels,)"""

    minimum: np.ndarray
    maximum: np.ndarray
    total: np.ndarray
    count: int

    @property
    def absmax(self):
        return np.maximum(self.maximum, -self.minimum)

    @property
    def mean(self):
        """The mean |x|."""
        return (self.total / self.count).astype(self.maximum.dtype)


def channels(x):
    """Channels of inputs (..., channels).

    >>> channels(np.float32([[1, -4], [-3, 2]])).absmax, channels(np.float32([[1, -4], [-3, 2]])).mean
    (array([3., 4.], dtype=float32), array([2., 3.], dtype=float32))
    """
    rows = x.reshape(-1, x.shape[-1])
    return Channels(rows.min(axis=0), rows.max(axis=0), np.abs(rows).sum(axis=0, dtype=np.float64), len(rows))


def joined(one, other):
    """Channels of both."""
    ends = np.minimum(one.minimum, other.minimum), np.maximum(one.maximum, other.maximum)
    return Channels(*ends, one.total + other.total, one.count + other.count)


def gathered(seen):
    """layer -> Channels of all that `observed` yields."""
    found = {}
    for layer, x in seen:
        found.setdefault(layer, []).append(channels(x))
    return {layer: functools.reduce(joined, parts) for layer, parts in found.items()}


def hessians(seen, engine):
    """layer -> hessian of all that `observed` yields, summed in float64."""
    sums, counts = {}, {}
    for layer, x in seen:
        n = x.size // x.shape[-1]
        more = engine.hessian(x).astype(np.float64)
        more *= n
        sums[layer] = np.add(sums[layer], more, out=more) if layer in sums else more
        counts[layer] = counts.get(layer, 0) + n
    for layer, total in sums.items():
        total /= counts[layer]
    return sums
