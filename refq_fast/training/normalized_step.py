"""Twins of refq.training.normalized_step."""

import numpy as np
from numba import prange

from refq import checks
from refq.training import arguments_surrogates as surrogates
from refq.training.normalized_step import limits
from refq_fast.grids.affine import as_rows
from refq_fast.kernel import parallel, serial
from refq_fast.rows import PIECE, gathered, pieces_of
from refq_fast.sums import total


def normalized_lsq(x, scale, bits, signed=True):
    """Twin of refq.normalized_lsq.

    One pass over x, parallel, no temporaries.
    Spec: normalized_lsq
    """
    ends = limits(bits, signed)
    x, scale, zero_point = surrogates.steps(x, scale, 0, *ends[:2])
    rows, steps, _ = as_rows(x, scale, zero_point)
    x_hat, (pieces, share) = np.empty_like(rows), pieces_of(rows)
    _forward(rows, steps, tuple(map(x.dtype.type, ends)), x_hat, pieces.shape, share)
    return x_hat.reshape(x.shape)[()]


def normalized_lsq_vjp(g, x, scale, bits, signed=True):
    """Twin of refq.normalized_lsq_vjp.

    One pass over g and x, parallel.
    Spec: normalized_lsq_vjp
    """
    ends = limits(bits, signed)
    x, scale, zero_point = surrogates.steps(x, scale, 0, *ends[:2])
    g = checks.gradient(g, x)
    rows, steps, _ = as_rows(x, scale, zero_point)
    gx, (sums, share) = np.empty_like(rows), pieces_of(rows)
    _vjp(np.ascontiguousarray(g).reshape(rows.shape), rows, steps, tuple(map(x.dtype.type, ends)), gx, sums, share)
    with np.errstate(over="ignore"):
        return gx.reshape(x.shape)[()], -gathered(sums, x, scale) / scale + 0  # no -0


# A task takes `share` pieces, a piece is a run of one row.


@parallel
def _forward(x, scale, ends, x_hat, shape, share):
    for task in prange((shape[0] * shape[1] + share - 1) // share):
        for piece in range(task * share, min(task * share + share, shape[0] * shape[1])):
            row, at = piece // shape[1], piece % shape[1] * PIECE
            _run(x[row, at : at + PIECE], scale[row], ends, x_hat[row, at : at + PIECE])


@serial
def _run(x, s, ends, x_hat):
    low, high, gamma = ends
    if low == -gamma and high == gamma:  # 1 bit, signed
        for i in range(x.size):
            x_hat[i] = high if gamma * (x[i] / s) >= s - s else low
    else:
        for i in range(x.size):
            x_hat[i] = np.rint(min(max(gamma * (x[i] / s), low), high)) / gamma + (s - s)  # no -0


@parallel
def _vjp(g, x, scale, ends, gx, sums, share):
    pieces = sums.shape[1]
    for task in prange((sums.size + share - 1) // share):
        terms = np.empty(PIECE, x.dtype)
        for piece in range(task * share, min(task * share + share, sums.size)):
            row, at = piece // pieces, piece % pieces * PIECE
            end = min(at + PIECE, x.shape[1])
            near = terms[: end - at]
            _vjp_run(g[row, at:end], x[row, at:end], scale[row], ends, gx[row, at:end], near)
            sums[row, piece % pieces] = total(near)


@serial
def _vjp_run(g, x, s, ends, gx, terms):
    low, high, gamma = ends
    for i in range(x.size):
        t = x[i] / s
        inside = low <= gamma * t <= high
        gx[i] = g[i] / s if inside else s - s
        terms[i] = g[i] * t if inside else s - s
