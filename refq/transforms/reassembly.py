"""QLLM's channel reassembly in index form: split channels, merged channels, and both."""

from typing import NamedTuple

import numpy as np

from refq import checks
from refq.transforms import arguments
from refq.transforms.disassembly import channel_splits
from refq.transforms.matching import bipartite_matching, matched


class Reassembly(NamedTuple):
    """New channel c: the sum of the old channels members[start:start + sizes[c]] over divisors[c]; int32, one axis.

    start is the sum of the sizes before. The weight of the new channel is the sum of those of its members.
    """

    members: np.ndarray
    sizes: np.ndarray
    divisors: np.ndarray


def assemble(counts, into):
    """The index form of a disassembly, and of what then becomes of its parts.

    counts: channel i becomes counts[i] neighbours;  into: the place among all parts that a part is merged into

    Parameters
        counts: int32, (channels,), 1 or more, as channel_splits gives them.
        into: int32, (sum of counts,): its own place for a part that stays, the place of one that stays for a part that
            is merged, -1 for one that is left out. Merged parts have one count.
    Returns
        Reassembly (members, sizes, divisors): int32; new channels in the order of the parts that stay.
    Raises
        GridError: counts or into breaks its rule.
        ShapeError: into does not fit counts.

    >>> members, sizes, divisors = assemble(np.int32([1, 2, 1]), np.int32([0, 1, 2, 0]))
    >>> members, sizes, divisors
    (array([0, 2, 1, 1], dtype=int32), array([2, 1, 1], dtype=int32), array([2, 2, 2], dtype=int32))

    Source: QLLM (2310.08041): a part is x / count, a merged channel the mean; the index form is our choice.
    Spec: assemble
    """
    counts, into = arguments.assembly(counts, into)
    origin = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    kept, sizes = np.unique(into[into >= 0], return_counts=True)
    order = np.argsort(into, kind="stable")[np.count_nonzero(into < 0) :]
    return Reassembly(origin[order], sizes.astype(np.int32), (sizes * counts[origin[kept]]).astype(np.int32))


def reassembly(maximum, distance, threshold, official_order=False):
    """Channel reassembly: split what exceeds the threshold, then merge as many of the others, the nearest first.

    assemble(counts, into),  counts = channel_splits(maximum, threshold),  into = bipartite_matching of all parts

    Parameters
        maximum, threshold: as channel_splits takes them.
        distance: float32 (or float64), (channels, channels), as channel_distance gives it.
        official_order: bool; places are counted before channels are split, as QLLM's program does in its search.
    Returns
        Reassembly: as many new channels as there were; the same ones if nothing exceeds the threshold.
    Raises
        GridError: as channel_splits, or more channels are split than others can be merged.

    >>> maximum, distance = np.float32([9, 1, 1]), np.float32([[0, 8, 8], [8, 0, 1], [8, 1, 0]])
    >>> reassembly(maximum, distance, 5.0).members  # channel 0 in two parts, then 1 and 2 in one
    array([0, 0, 1, 2], dtype=int32)

    Source: QLLM (2310.08041), channel reassembly, algorithm 1; official_order: its program, as it was read.
    Spec: reassembly
    """
    counts = channel_splits(maximum, threshold)
    checks.same_shape("distance", distance, "maximum", (len(counts),) * 2)
    extra = int(counts.sum(dtype=np.int64)) - len(counts)
    arguments.enough(extra, len(counts))
    origin = np.repeat(np.arange(len(counts)), counts)
    if official_order:
        first = np.cumsum(counts) - counts  # the place of each channel's first part
        into = np.arange(len(origin))
        into[first] = first[bipartite_matching(distance, extra, counts > 1)]
    else:
        distance, _, _ = arguments.matching(distance, extra, counts > 1)
        into = matched(distance, extra, counts[origin] > 1, origin)
    return assemble(counts, into)


def reassemble_input(x, reassembly):
    """The input of a layer whose weight was reassembled.

    y[c] = sum of x[members of c] / divisors[c]

    Parameters
        x: float32 (or float64), (..., channels).
        reassembly: (members, sizes, divisors), as assemble gives it.
    Returns
        y: dtype of x, (..., new channels).
    Raises
        GridError: reassembly names a channel that is not there, or breaks another rule of its own.
        ShapeError: x has no channel, or the arrays of reassembly do not fit.

    >>> reassemble_input(np.float32([1, 2, 12]), assemble([1, 1, 3], [0, 0, 2, 3, 4]))
    array([1.5, 4. , 4. , 4. ], dtype=float32)

    Source: QLLM (2310.08041), channel disassembly and assembly.
    Spec: reassemble_input
    """
    x, (members, sizes, divisors) = arguments.reassembled("x", x, reassembly)
    return _sums(x, members, sizes) / divisors.astype(x.dtype)


def reassemble_input_vjp(g, x, reassembly):
    """Gradient of reassemble_input with respect to x.

    gx[i] = sum over the new channels c that i is a member of, of g[c] / divisors[c]

    Parameters
        g: dtype of x, (..., new channels).
        x, reassembly: as reassemble_input takes them.
    Returns
        gx: shape and dtype of x.
    Raises
        as reassemble_input; ShapeError if g has another shape than its result.

    >>> reassemble_input_vjp(np.float32([2, 3, 3, 3]), np.float32([1, 2, 12]), assemble([1, 1, 3], [0, 0, 2, 3, 4]))
    array([1., 1., 3.], dtype=float32)

    Source: derivative of reassemble_input.
    Spec: reassemble_input_vjp
    """
    x, parts = arguments.reassembled("x", x, reassembly)
    g = arguments.incoming(g, x, (*x.shape[:-1], len(parts[1])))
    return _spread(g / parts[2].astype(x.dtype), parts, x.shape[-1])


def reassemble_weight(w, reassembly):
    """The weight of a layer whose input is reassembled.

    y[:, c] = sum of w[:, members of c]

    Parameters
        w: float32 (or float64), (out, channels); a low-rank factor (rank, channels) too.
        reassembly: (members, sizes, divisors), as assemble gives it.
    Returns
        y: dtype of w, (out, new channels).
    Raises
        as reassemble_input.

    >>> reassemble_weight(np.float32([[1, 0, 0.5]]), assemble([1, 1, 3], [0, 0, 2, 3, 4]))
    array([[1. , 0.5, 0.5, 0.5]], dtype=float32)

    Source: QLLM (2310.08041), channel disassembly and assembly.
    Spec: reassemble_weight
    """
    w, (members, sizes, _) = arguments.reassembled("w", w, reassembly)
    return _sums(w, members, sizes)


def reassemble_weight_vjp(g, w, reassembly):
    """Gradient of reassemble_weight with respect to w.

    gw[:, i] = sum over the new channels c that i is a member of, of g[:, c]

    Parameters
        g: dtype of w, (out, new channels).
        w, reassembly: as reassemble_weight takes them.
    Returns
        gw: shape and dtype of w.
    Raises
        as reassemble_weight; ShapeError if g has another shape than its result.

    >>> form = assemble([1, 1, 3], [0, 0, 2, 3, 4])
    >>> reassemble_weight_vjp(np.float32([[2, 3, 3, 3]]), np.float32([[1, 0, 0.5]]), form)
    array([[2., 2., 9.]], dtype=float32)

    Source: derivative of reassemble_weight.
    Spec: reassemble_weight_vjp
    """
    w, parts = arguments.reassembled("w", w, reassembly)
    return _spread(arguments.incoming(g, w, (*w.shape[:-1], len(parts[1]))), parts, w.shape[-1])


def _spread(g, parts, length):
    """The transpose of the sums: what each old channel has in the new ones."""
    members, sizes, _ = parts
    new = np.repeat(np.arange(len(sizes)), sizes)  # the new channel that each member belongs to
    return _sums(g, new[np.argsort(members, kind="stable")], np.bincount(members, minlength=length))


def _sums(x, index, sizes):
    """Sums of runs of x[..., index], from the first to the last; 0 where there is none."""
    starts = np.cumsum(sizes) - sizes
    y = np.take(x, index[np.minimum(starts, len(index) - 1)], axis=-1)
    y[..., sizes == 0] = 0
    for rank in range(1, sizes.max()):
        more = np.flatnonzero(sizes > rank)
        y[..., more] += np.take(x, index[starts[more] + rank], axis=-1)
    return y
