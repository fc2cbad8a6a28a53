"""Which channels go: merged into their nearest neighbour, or left out."""

import numpy as np

from refq import checks
from refq.transforms import arguments


def bipartite_matching(distance, count, fixed=None):
    """Merge the channels at even places that lose least into their nearest ones at odd places.

    into[i] = argmin over odd j of distance[i, j] for the `count` even i where that minimum is least, else i

    Parameters
        distance: float32 (or float64), (channels, channels), finite.
        count: int, how many channels go; 0 or more.
        fixed: bool, (channels,): True for channels that neither go nor take others in; None for no such.
    Returns
        into: int32, (channels,), the channel that each is merged into; its own number where it stays.
    Raises
        GridError: fewer than count channels can go.

    >>> bipartite_matching(np.float32([[0, 2, 9], [2, 0, 1], [9, 1, 0]]), 1)
    array([0, 1, 1], dtype=int32)

    Source: QLLM (2310.08041), bipartite soft matching; even and odd places: its program; ties: our choice.
    Spec: bipartite_matching
    """
    distance, count, fixed = arguments.matching(distance, count, fixed)
    return matched(distance, count, fixed, np.arange(len(fixed)))


def matched(distance, count, fixed, origin):
    """bipartite_matching of parts whose distances are those of the channels `origin` that they come from."""
    places = np.arange(len(fixed), dtype=np.int32)
    even, odd = (places[side::2][~fixed[side::2]] for side in (0, 1))
    arguments.enough(count, len(even) if len(odd) else 0)
    into = places.copy()
    if count:
        between = distance[np.ix_(origin[even], origin[odd])]
        nearest = between.argmin(axis=1)  # of equal ones the first
        first = np.argsort(between.min(axis=1), kind="stable")[:count]
        into[even[first]] = odd[nearest[first]]
    return into


def channel_pruning(x, w, count, fixed=None):
    """Leave out the channels that add least to the output: what merging is compared with.

    into[i] = -1 for the `count` channels of least |x[:, i]|**2 * |w[:, i]|**2, else i

    Parameters
        x, w: as channel_distance takes them.
        count: int, how many channels go; 0 or more.
        fixed: bool, (channels,): True for channels that stay; None for no such.
    Returns
        into: int32, (channels,), -1 or its own number.
    Raises
        GridError: fewer than count channels can go.
        NonFiniteError, ShapeError: as channel_distance.

    >>> channel_pruning(np.float32([[3, 1, 2]]), np.float32([[1, 2, 2]]), 1)
    array([ 0, -1,  2], dtype=int32)

    Source: QLLM (2310.08041), the ablation "channel pruning"; the measure is our choice.
    Spec: channel_pruning
    """
    x, w = arguments.channels(x, w)
    fixed = arguments.marks("fixed", fixed, x.shape[1])
    free = np.flatnonzero(~fixed)
    count = arguments.enough(checks.count("count", count), len(free))
    size = (x.astype(np.float64) ** 2).sum(axis=0) * (w.astype(np.float64) ** 2).sum(axis=0)
    into = np.arange(x.shape[1], dtype=np.int32)
    into[free[np.argsort(size[free], kind="stable")[:count]]] = -1
    return into
