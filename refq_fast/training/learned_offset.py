"""Twins of refq.training.learned_offset: one parallel pass each, in which NaN and infinity leave a mark in the sums."""

import numpy as np
from numba import prange

from refq.ops.arguments import incoming
from refq.training import arguments
from refq_fast.grids.affine import as_rows
from refq_fast.kernel import parallel, serial
from refq_fast.rows import PIECE, finite, gathered, pieces_of
from refq_fast.sums import total


def lsq_plus(x, scale, offset, qmin, qmax):
    """Twin of refq.lsq_plus.

    One pass over x, parallel; the codes are never stored.
    Spec: lsq_plus
    """
    x, scale, offset = arguments.learned_offset(x, scale, offset, qmin, qmax)
    rows, steps, offsets = as_rows(x, scale, offset)
    x_hat, (marks, share) = np.empty_like(rows), pieces_of(rows)
    _lsq_plus(rows, steps, offsets, (x.dtype.type(qmin), x.dtype.type(qmax)), x_hat, marks, share)
    finite(marks, x=x)
    return x_hat.reshape(x.shape)


def lsq_plus_vjp(g, x, scale, offset, qmin, qmax):
    """Twin of refq.lsq_plus_vjp.

    One pass over g and x for all three gradients, parallel.
    Spec: lsq_plus_vjp
    """
    x, scale, offset = arguments.learned_offset(x, scale, offset, qmin, qmax)
    g = incoming(g, x, x.shape)
    rows, steps, offsets = as_rows(x, scale, offset)
    gx, (of_scale, share), (of_offset, _) = np.empty_like(rows), pieces_of(rows), pieces_of(rows)
    ends = (x.dtype.type(qmin), x.dtype.type(qmax))
    g_rows = np.ascontiguousarray(g).reshape(rows.shape)
    _lsq_plus_vjp(g_rows, rows, steps, offsets, ends, gx, (of_scale, of_offset), share)
    finite(of_scale, x=x, g=g)
    return gx.reshape(x.shape), gathered(of_scale, x, scale), gathered(of_offset, x, offset)


# A task takes `share` pieces, a piece is a run of one row.


@parallel
def _lsq_plus(x, scale, offset, ends, x_hat, marks, share):
    pieces = marks.shape[1]
    for task in prange((marks.size + share - 1) // share):
        terms = np.empty(PIECE, x.dtype)
        for piece in range(task * share, min(task * share + share, marks.size)):
            row, at = piece // pieces, piece % pieces * PIECE
            end = min(at + PIECE, x.shape[1])
            near = terms[: end - at]
            _run(x[row, at:end], scale[row], offset[row], ends, x_hat[row, at:end], near)
            marks[row, piece % pieces] = total(near)


@serial
def _run(x, s, offset, ends, x_hat, terms):
    for i in range(x.size):
        terms[i] = x[i] - x[i]
        x_hat[i] = min(max(np.rint((x[i] - offset) / s), ends[0]), ends[1]) * s + offset


@parallel
def _lsq_plus_vjp(g, x, scale, offset, ends, gx, sums, share):
    pieces = sums[0].shape[1]
    for task in prange((sums[0].size + share - 1) // share):
        terms = np.empty((2, PIECE), x.dtype)
        for piece in range(task * share, min(task * share + share, sums[0].size)):
            row, at = piece // pieces, piece % pieces * PIECE
            end = min(at + PIECE, x.shape[1])
            near = terms[0, : end - at], terms[1, : end - at]
            _vjp_run(g[row, at:end], x[row, at:end], scale[row], offset[row], ends, gx[row, at:end], near)
            for k in range(2):
                sums[k][row, piece % pieces] = total(near[k])


@serial
def _vjp_run(g, x, s, offset, ends, gx, terms):
    low, high = ends
    for i in range(x.size):
        t = (x[i] - offset) / s
        inside = low < t < high
        slope = np.rint(t) - t if inside else min(max(t, low), high)
        gx[i] = g[i] if inside else s - s
        terms[0][i] = g[i] * slope + (x[i] - x[i])
        terms[1][i] = g[i] - gx[i]
