"""Twins of refq.training.learned_range: one parallel pass each, in which NaN and infinity leave a mark in the sums."""

import numpy as np
from numba import prange

from refq.grids.affine import integer_range
from refq.ops.arguments import incoming
from refq.training import arguments
from refq.training.learned_range import range_grid
from refq_fast.grids.affine import as_rows
from refq_fast.kernel import parallel, serial
from refq_fast.rows import PIECE, finite, gathered, pieces_of
from refq_fast.sums import total
from refq_fast.training.learned_step import lsq


def learned_range(x, minimum, maximum, bits, symmetric):
    """Twin of refq.learned_range.

    One pass over x, parallel: that of lsq.
    Spec: learned_range
    """
    x, minimum, maximum = arguments.learned_range(x, minimum, maximum, bits)
    scale, zero_point, _ = range_grid(minimum, maximum, bits, symmetric)
    return lsq(x, scale, zero_point, *integer_range(bits, signed=symmetric))


def learned_range_vjp(g, x, minimum, maximum, bits, symmetric):
    """Twin of refq.learned_range_vjp.

    One pass over g and x for all three gradients, parallel.
    Spec: learned_range_vjp
    """
    x, minimum, maximum = arguments.learned_range(x, minimum, maximum, bits)
    g = incoming(g, x, x.shape)
    scale, zero_point, follows = range_grid(minimum, maximum, bits, symmetric)
    with np.errstate(over="ignore"):
        place = np.where(follows, minimum / scale, x.dtype.type(0))
    rows, steps, zeros = as_rows(x, scale, zero_point)
    _, moves, places = as_rows(x, follows, place)
    qmin, qmax = integer_range(bits, signed=symmetric)
    gx, (of_maximum, share), (clipped, _) = np.empty_like(rows), pieces_of(rows), pieces_of(rows)
    g_rows, grid = np.ascontiguousarray(g).reshape(rows.shape), (steps, qmin - zeros, qmax - zeros, places)
    straight_sums(g_rows, rows, grid, moves, x.dtype.type(2**bits - 1), gx, (of_maximum, clipped), share)
    finite(of_maximum, x=x, g=g)
    return gx.reshape(x.shape), gathered(clipped - of_maximum, x, minimum), gathered(of_maximum, x, maximum)


# A task takes `share` pieces, a piece is a run of one row.


@parallel
def straight_sums(g, x, grid, moves, n, gx, sums, share):
    pieces = sums[0].shape[1]
    for task in prange((sums[0].size + share - 1) // share):
        terms = np.empty((2, PIECE), x.dtype)
        for piece in range(task * share, min(task * share + share, sums[0].size)):
            row, at = piece // pieces, piece % pieces * PIECE
            end = min(at + PIECE, x.shape[1])
            near = terms[0, : end - at], terms[1, : end - at]
            numbers = grid[0][row], grid[1][row], grid[2][row], grid[3][row]
            _run(g[row, at:end], x[row, at:end], numbers, n, gx[row, at:end], near)
            sums[0][row, piece % pieces] = total(near[0])
            sums[1][row, piece % pieces] = total(near[1]) if moves[row] else numbers[0] - numbers[0]


@serial
def _run(g, x, grid, n, gx, terms):
    s, low, high, place = grid
    for i in range(x.size):
        t = x[i] / s
        r = np.rint(t)
        inside = low <= r <= high
        slope = r - t if inside else min(max(r, low), high) - place
        gx[i] = g[i] if inside else s - s
        terms[0][i] = g[i] * (slope / n) + (x[i] - x[i])
        terms[1][i] = g[i] - gx[i]
