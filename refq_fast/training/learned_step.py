"""Twins of refq.training.learned_step: one parallel pass each, in which NaN and infinity leave a mark in the sums."""

import numpy as np
from numba import prange

from refq.ops.arguments import incoming
from refq.training import arguments
from refq_fast.grids.affine import as_rows
from refq_fast.kernel import parallel, serial
from refq_fast.rows import PIECE, finite, gathered, pieces_of
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


@parallel
def _lsq(x, scale, low, high, x_hat, marks, share):
    pieces = marks.shape[1]
    for task in prange((marks.size + share - 1) // share):
        terms = np.empty(PIECE, x.dtype)
        for piece in range(task * share, min(task * share + share, marks.size)):
            row, at = piece // pieces, piece % pieces * PIECE
            end = min(at + PIECE, x.shape[1])
            near = terms[: end - at]
            _lsq_run(x[row, at:end], scale[row], low[row], high[row], x_hat[row, at:end], near)
            marks[row, piece % pieces] = total(near)


@serial
def _lsq_run(x, s, low, high, x_hat, terms):
    for i in range(x.size):
        terms[i] = x[i] - x[i]
        x_hat[i] = (min(max(np.rint(x[i] / s), low), high) + (s - s)) * s  # -0 + 0 is 0: codes have no sign


@parallel
def _lsq_vjp(g, x, scale, low, high, gx, sums, share):
    pieces = sums.shape[1]
    for task in prange((sums.size + share - 1) // share):
        terms = np.empty(PIECE, x.dtype)
        for piece in range(task * share, min(task * share + share, sums.size)):
            row, at = piece // pieces, piece % pieces * PIECE
            end = min(at + PIECE, x.shape[1])
            near = terms[: end - at]
            _lsq_vjp_run(g[row, at:end], x[row, at:end], scale[row], low[row], high[row], gx[row, at:end], near)
            sums[row, piece % pieces] = total(near)


@serial
def _lsq_vjp_run(g, x, s, low, high, gx, terms):
    for i in range(x.size):
        t = x[i] / s
        inside = low < t < high
        slope = np.rint(t) - t if inside else min(max(t, low), high)
        gx[i] = g[i] if inside else s - s
        terms[i] = g[i] * slope + (x[i] - x[i])
