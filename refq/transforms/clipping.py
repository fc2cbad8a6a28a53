"""AWQ's search for the largest weight of each group that is worth keeping."""

import numpy as np

from refq.grids.affine import fake_quantize
from refq.ranges.awq import awq_range
from refq.transforms import arguments_scales as arguments

SHRINKS = [np.float32(1 - i / 20) for i in range(10)]


def awq_clip(x, w, bits=4, group_size=128, symmetric=False):
    """The largest weight of each group: the one, of ten, with the least error of what the group adds to the output.

    limit = (1 - i / 20) * max |w|, i = 0 .. 9;  error = sum over tokens of (x . (w_hat - w))**2

    Parameters
        x: float32, (tokens, in), inputs of the layer, finite; AWQ takes 512 of all tokens.
        w: float32, (out, in), finite.
        bits: int, 2..8.
        group_size: int, divides in.
        symmetric: as awq_range takes it.
    Returns
        limit: float32, (out, in / group_size): what clip(w, -limit, limit) is given before it is quantized.
    Raises
        DtypeError: float64, for awq_range reproduces float32 arithmetic.
        GridError: bits outside its range, or a group whose range overflows.
        GroupSizeError: group_size does not divide in.
        NonFiniteError: x or w holds NaN or infinity.

    >>> awq_clip(np.float32([[1, 1]]), np.float32([[3, 1]]), bits=2, group_size=2)
    array([[3.]], dtype=float32)

    Source: AWQ (2306.00978), weight clipping; autoawq 0.2.9, read and run: half of 20 steps, the first least.
    Spec: awq_clip
    """
    x, groups = arguments.clipping(x, w, group_size)
    moments = second_moments(x, groups)

    def output_error(limit):
        clipped = np.clip(groups, -limit, limit)
        w_hat = fake_quantize(clipped, *awq_range(clipped, bits, symmetric))
        e = (w_hat.astype(np.float64) - groups).transpose(1, 0, 2)
        return (e @ moments * e).sum(axis=-1).T[..., None]

    return best_limit(groups, output_error)


def second_moments(x, groups):
    """Sums over tokens of products of inputs, (groups, size, size): what errors of the output depend on."""
    tokens = x.astype(np.float64).reshape(len(x), *groups.shape[1:]).transpose(1, 2, 0)
    return tokens @ tokens.transpose(0, 2, 1)


def best_limit(groups, output_error):
    """The limit of each group, (out, groups), by its error, both (out, groups, 1)."""
    largest = np.abs(groups).max(axis=-1, keepdims=True)
    best, least = largest.copy(), np.full(largest.shape, np.inf)
    for shrink in SHRINKS:
        limit = largest * shrink
        error = output_error(limit)
        better = error < least
        best, least = np.where(better, limit, best), np.where(better, error, least)
    return best[..., 0]
