"""How much is lost when two channels become one, for all pairs of channels at once."""

import numpy as np

from refq.errors import GridError
from refq.transforms import arguments


def channel_distance(x, w):
    """Squared error of the layer's output when two channels are merged, for every pair.

    distance[i, j] = |x[:, i] - x[:, j]|**2 * |w[:, i] - w[:, j]|**2 / 4

    Parameters
        x: float32 (or float64), (tokens, channels), finite.
        w: dtype of x, (out, channels), finite: of layers that share x the rows of all.
    Returns
        distance: dtype of x, (channels, channels), symmetric, at least 0; in squared units of the output.
    Raises
        GridError: a distance overflows.
        NonFiniteError: x or w holds NaN or infinity.
        ShapeError: x and w do not fit.

    >>> channel_distance(np.float32([[1, 2], [3, 1]]), np.float32([[1, 0], [0, 2]]))[0, 1]
    np.float32(6.25)

    Source: QLLM (2310.08041), the distance of channel assembly; that its sum is a product is our derivation.
    Spec: channel_distance
    """
    x, w = arguments.channels(x, w)
    return _in_range(_squares(x) * _squares(w) / 4, x.dtype)


def official_channel_score(x, w):
    """The score of QLLM's program in place of channel_distance: sums of the weights, not differences.

    score[i, j] = ((sum of w[:, i] + sum of w[:, j]) * |x[:, i] - x[:, j]|)**2

    Parameters
        x, w: as channel_distance takes them.
    Returns
        score: dtype of x, (channels, channels), symmetric, at least 0.
    Raises
        as channel_distance.

    >>> official_channel_score(np.float32([[1, 2], [3, 1]]), np.float32([[1, 0], [0, 2]]))[0, 1]
    np.float32(45.0)

    Source: the official program of QLLM (2310.08041), as it was read.
    Spec: official_channel_score
    """
    x, w = arguments.channels(x, w)
    sums = w.astype(np.float64).sum(axis=0)
    return _in_range((sums[:, None] + sums) ** 2 * _squares(x), x.dtype)


def _squares(a):
    """Squared distances of all pairs of columns, in float64: |a|**2 + |b|**2 - 2 ab, which is one matrix product."""
    a = a.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        products = a.T @ a
        size = products.diagonal()
        return np.maximum(size[:, None] + size - 2 * products, 0)


def _in_range(distance, dtype):
    with np.errstate(over="ignore"):
        distance = distance.astype(dtype, copy=False)
    if not np.isfinite(distance).all():
        raise GridError(f"a distance overflows {distance.dtype}; scale x or w down")
    return distance
