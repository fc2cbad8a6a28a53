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
from refq_fast.sums import total


def lsq(x, scale, zero_point, qmin, qmax):
    """Twin of refq.lsq.

    One pass over x, parallel; the codes are never stored.
    Spec: lsq
    """
    x, scale, zero_point = arguments.learned_step(x, scale, zero_point, qmin, qmax)
    rows, steps, zeros = as_rows(x, scale, zero_point)
    x_hat, (marks, share) = np.empty_like(rows), pieces_of(rows)
    _lsq(rows, steps, qmin - zeros, qmax - zeros, x_hat, marks, share)
    finite(marks, x=x)
    return x_hat.reshape(x.shape)


def lsq_vjp(g, x, scale, zero_point, qmin, qmax):
    """Twin of refq.lsq_vjp.

    One pass over g and x, parallel; the slopes are summed a piece at a time, while they are near.
    Spec: lsq_vjp
    """
    x, scale, zero_point = arguments.learned_step(x, scale, zero_point, qmin, qmax)
    g = incoming(g, x, x.shape)
    rows, steps, zeros = as_rows(x, scale, zero_point)
    gx, (sums, share) = np.empty_like(rows), pieces_of(rows)
    _lsq_vjp(np.ascontiguousarray(g).reshape(rows.shape), rows, steps, qmin - zeros, qmax - zeros, gx, sums, share)
    finite(sums, x=x, g=g)
    return gx.reshape(x.shape), gathered(sums, x, scale)


# A task takes `share` pieces, a piece is a run of one row. low and high are the ends of the codes less the zero point.
# A number x leaves the mark x - x in the sum of its piece, of which each lane adds up a part.


@parallel
def _lsq(x, scale, low, high, x_hat, marks, share):
    pieces = marks.shape[1]
    for task in prange((marks.size + share - 1) // share):
        lanes = np.empty(LANES, x.dtype)
        for piece in range(task * share, min(task * share + share, marks.size)):
            row, at = piece // pieces, piece % pieces * PIECE
            end = min(at + PIECE, x.shape[1])
            _lsq_run(x[row, at:end], scale[row], low[row], high[row], x_hat[row, at:end], lanes)
            marks[row, piece % pieces] = total(lanes)


@serial
def _lsq_run(x, s, low, high, x_hat, lanes):
    lanes[:] = 0
    for i in range(_lsq_vectors(x, s, low, high, x_hat, lanes), x.size):
        lanes[0] += x[i] - x[i]
        x_hat[i] = (min(max(np.rint(x[i] / s), low), high) + (s - s)) * s  # -0 + 0 is 0: codes have no sign


def _lsq_vectors(x, s, low, high, x_hat, lanes):
    """Compute whole vectors, and give how many numbers that are."""
    raise NotImplementedError("for kernels only")


@overload(_lsq_vectors)
def _choose_lsq_vectors(x, s, low, high, x_hat, lanes):
    if x.dtype != types.float32:
        return lambda x, s, low, high, x_hat, lanes: 0

    def vectors(x, s, low, high, x_hat, lanes):
        whole, mark, step = x.size // LANES * LANES, splat(np.float32(0)), splat(s)
        least, most = splat(low), splat(high)
        for i in range(0, whole, LANES):
            value = load_floats(x, i)
            mark = mark + (value - value)
            # the ends are integers below 2**22, so it does not matter that they come before the rounding
            store(x_hat, i, _rounded(_clipped(value / step, least, most)) * step)
        store(lanes, 0, mark)
        return whole

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
def _lsq_vjp(g, x, scale, low, high, gx, sums, share):
    pieces = sums.shape[1]
    for task in prange((sums.size + share - 1) // share):
        lanes = np.empty(LANES, x.dtype)
        for piece in range(task * share, min(task * share + share, sums.size)):
            row, at = piece // pieces, piece % pieces * PIECE
            end = min(at + PIECE, x.shape[1])
            _lsq_vjp_run(g[row, at:end], x[row, at:end], scale[row], low[row], high[row], gx[row, at:end], lanes)
            sums[row, piece % pieces] = total(lanes)


@serial
def _lsq_vjp_run(g, x, s, low, high, gx, lanes):
    lanes[:] = 0
    for i in range(_vjp_vectors(g, x, s, low, high, gx, lanes), x.size):
        t = x[i] / s
        inside = low < t < high
        slope = np.rint(t) - t if inside else min(max(t, low), high)
        gx[i] = g[i] if inside else s - s
        lanes[0] += g[i] * slope + (x[i] - x[i])


def _vjp_vectors(g, x, s, low, high, gx, lanes):
    """Compute whole vectors, and give how many numbers that are."""
    raise NotImplementedError("for kernels only")


@overload(_vjp_vectors)
def _choose_vjp_vectors(g, x, s, low, high, gx, lanes):
    if x.dtype != types.float32:
        return lambda g, x, s, low, high, gx, lanes: 0

    def vectors(g, x, s, low, high, gx, lanes):
        whole, sums, step, zero = x.size // LANES * LANES, splat(np.float32(0)), splat(s), splat(np.float32(0))
        least, most = splat(low), splat(high)
        for i in range(0, whole, LANES):
            value, up = load_floats(x, i), load_floats(g, i)
            t = value / step
            near = _clipped(t, least, most)
            slope = where(t, least, least, where(most, t, most, _rounded(near) - near))
            store(gx, i, where(t, least, zero, where(most, t, zero, up)))
            sums = sums + (up * slope + (value - value))
        store(lanes, 0, sums)
        return whole

    return vectors
