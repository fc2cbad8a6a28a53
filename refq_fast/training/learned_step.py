"""Twins of refq.training.learned_step: one parallel pass each, in which NaN and infinity leave a mark in the sums."""

import numpy as np
from numba import prange, types
from numba.extending import overload

from refq.ops.arguments import incoming
from refq.training import arguments
from refq_fast.exponential import INTEGER
from refq_fast.grids.affine import as_rows
from refq_fast.kernel import inlined, parallel, serial
from refq_fast.rows import PIECE, finite, gathered, pieces_of
from refq_fast.simd import LANES, load_floats, splat, store, where
from refq_fast.streams import FAR, aligned, stream
from refq_fast.sums import total


def lsq(x, scale, zero_point, qmin, qmax):
    """Twin of refq.lsq.

    One pass over x, parallel; the codes are never stored.
    Spec: lsq
    """
    x, scale, zero_point = arguments.learned_step(x, scale, zero_point, qmin, qmax)
    rows, steps, zeros = as_rows(x, scale, zero_point)
    x_hat, (marks, share) = aligned(rows.shape, rows.dtype), pieces_of(rows)
    grids = steps, qmin - zeros, qmax - zeros
    _lsq(rows.reshape(-1), x_hat.reshape(-1), rows.shape[1], *grids, marks, share)
    finite(marks, x=x)
    return x_hat.reshape(x.shape)


def lsq_vjp(g, x, scale, zero_point, qmin, qmax):
    """Twin of refq.lsq_vjp.

    One pass over g and x, parallel; the slopes are summed a piece at a time, while they are near.
    Spec: lsq_vjp
    """
    x, scale, zero_point = arguments.learned_step(x, scale, zero_point, qmin, qmax)
    g = np.ascontiguousarray(incoming(g, x, x.shape))
    rows, steps, zeros = as_rows(x, scale, zero_point)
    gx, (sums, share) = aligned(rows.shape, rows.dtype), pieces_of(rows)
    flat, grids = (array.reshape(-1) for array in (g, rows, gx)), (steps, qmin - zeros, qmax - zeros)
    _lsq_vjp(*flat, rows.shape[1], *grids, sums, share)
    finite(sums, x=x, g=g)
    return gx.reshape(x.shape), gathered(sums, x, scale)


# A task takes `share` pieces, a piece is a run of one row. low and high are the ends of the codes less the zero point.
# A number x leaves the mark x - x in the sum of its piece, of which each lane adds up a part. Arrays are flat: views of
# a piece are counted by locked instructions, and those wait for all that is being streamed.


@parallel
def _lsq(x, x_hat, width, scale, low, high, marks, share):
    for task in prange((marks.size + share - 1) // share):
        pieces = range(task * share, min(task * share + share, marks.size))
        _lsq_pieces(x, x_hat, width, (scale, low, high), marks, pieces)


@serial
def _lsq_pieces(x, x_hat, width, grids, marks, pieces):
    lanes, count = np.empty(LANES, x.dtype), marks.shape[1]
    for piece in pieces:
        row, run, grid = _place(piece, count, width, grids)
        s, low, high = grid
        lanes[:] = 0
        for i in range(_lsq_vectors(x, x_hat, run, grid, lanes), run[1]):
            lanes[0] += x[i] - x[i]
            x_hat[i] = (min(max(np.rint(x[i] / s), low), high) + (s - s)) * s  # -0 + 0 is 0: codes have no sign
        marks[row, piece % count] = total(lanes)


@serial
def _place(piece, count, width, grids):
    """The row of a piece, where it begins and ends in a flat array, and the numbers of its row."""
    row, start = piece // count, piece % count * PIECE
    ends = row * width + start, row * width + min(start + PIECE, width)
    return row, ends, (grids[0][row], grids[1][row], grids[2][row])


def _lsq_vectors(x, x_hat, run, grid, lanes):
    """Compute whole vectors, and give where they end."""
    raise NotImplementedError("for kernels only")


@overload(_lsq_vectors)
def _choose_lsq_vectors(x, x_hat, run, grid, lanes):
    if x.dtype != types.float32:
        return lambda x, x_hat, run, grid, lanes: run[0]

    def vectors(x, x_hat, run, grid, lanes):
        end, mark, far = run[0] + (run[1] - run[0]) // LANES * LANES, splat(np.float32(0)), x.size >= FAR
        step, least, most = splat(grid[0]), splat(grid[1]), splat(grid[2])
        for i in range(run[0], end, LANES):
            value = load_floats(x, i)
            mark = mark + (value - value)
            # the ends are integers below 2**22, so it does not matter that they come before the rounding
            stream(x_hat, i, _rounded(_clipped(value / step, least, most)) * step, far)
        store(lanes, 0, mark)
        return end

    return vectors


@inlined
def _clipped(t, low, high):
    t = where(t, low, low, t)
    return where(high, t, high, t)


@inlined
def _rounded(t):
    """Of numbers below 2**22, ties to even; 0 has no sign."""
    return (t + splat(INTEGER)) - splat(INTEGER)


@parallel
def _lsq_vjp(g, x, gx, width, scale, low, high, sums, share):
    for task in prange((sums.size + share - 1) // share):
        pieces = range(task * share, min(task * share + share, sums.size))
        _vjp_pieces(g, x, gx, width, (scale, low, high), sums, pieces)


@serial
def _vjp_pieces(g, x, gx, width, grids, sums, pieces):
    lanes, count = np.empty(LANES, x.dtype), sums.shape[1]
    for piece in pieces:
        row, run, grid = _place(piece, count, width, grids)
        s, low, high = grid
        lanes[:] = 0
        for i in range(_vjp_vectors(g, x, gx, run, grid, lanes), run[1]):
            t = x[i] / s
            inside = low < t < high
            slope = np.rint(t) - t if inside else min(max(t, low), high)
            gx[i] = g[i] if inside else s - s
            lanes[0] += g[i] * slope + (x[i] - x[i])
        sums[row, piece % count] = total(lanes)


def _vjp_vectors(g, x, gx, run, grid, lanes):
    """Compute whole vectors, and give where they end."""
    raise NotImplementedError("for kernels only")


@overload(_vjp_vectors)
def _choose_vjp_vectors(g, x, gx, run, grid, lanes):
    if x.dtype != types.float32:
        return lambda g, x, gx, run, grid, lanes: run[0]

    def vectors(g, x, gx, run, grid, lanes):
        end, sums, far = run[0] + (run[1] - run[0]) // LANES * LANES, splat(np.float32(0)), x.size >= FAR
        step, least, most, zero = splat(grid[0]), splat(grid[1]), splat(grid[2]), splat(np.float32(0))
        for i in range(run[0], end, LANES):
            value, up = load_floats(x, i), load_floats(g, i)
            t = value / step
            near = _clipped(t, least, most)
            slope = where(t, least, least, where(most, t, most, _rounded(near) - near))
            stream(gx, i, where(t, least, zero, where(most, t, zero, up)), far)
            sums = sums + (up * slope + (value - value))
        store(lanes, 0, sums)
        return end

    return vectors
