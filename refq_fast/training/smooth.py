"""Twins of refq.training.smooth: one pass each, with the exponential that becomes vectors."""

import numpy as np
from numba import prange

from refq import checks
from refq.training import arguments_surrogates as surrogates
from refq.training.smooth import FAR
from refq_fast.exponential import exp
from refq_fast.grids.affine import as_rows
from refq_fast.kernel import parallel, serial
from refq_fast.rows import PIECE, gathered, pieces_of
from refq_fast.sums import total
from refq_fast.threads import over_rows


def sigmoid_ste_vjp(g, x, sharpness):
    """Twin of refq.sigmoid_ste_vjp.

    One pass.
    Spec: sigmoid_ste_vjp
    """
    x = surrogates.reals(x)
    g, sharpness = checks.gradient(g, x), surrogates.sharpness(sharpness, x)
    flat = [np.ascontiguousarray(array).reshape(-1) for array in (g, x)]
    gx = np.empty(x.size, x.dtype)
    over_rows(lambda *rows: _stairs(sharpness, *rows), *flat, gx)
    return gx.reshape(x.shape)[()]


def soft_clamp(x, minimum, maximum, beta=1.0):
    """Twin of refq.soft_clamp.

    One pass, parallel.
    Spec: soft_clamp
    """
    x, minimum, maximum, beta = surrogates.soft_clamp(x, minimum, maximum, beta)
    rows, low, high = as_rows(x, minimum, maximum)
    y, (pieces, share) = np.empty_like(rows), pieces_of(rows)
    _clamp(rows, low, high, beta, y, pieces.shape, share)
    return y.reshape(x.shape)[()]


def soft_clamp_vjp(g, x, minimum, maximum, beta=1.0):
    """Twin of refq.soft_clamp_vjp.

    One pass for all three gradients, parallel.
    Spec: soft_clamp_vjp
    """
    x, minimum, maximum, beta = surrogates.soft_clamp(x, minimum, maximum, beta)
    g = checks.gradient(g, x)
    rows, low, high = as_rows(x, minimum, maximum)
    gx, (of_low, share), of_high = np.empty_like(rows), pieces_of(rows), pieces_of(rows)[0]
    _clamp_vjp(np.ascontiguousarray(g).reshape(rows.shape), rows, low, high, beta, gx, (of_low, of_high), share)
    return gx.reshape(x.shape)[()], gathered(of_low, x, minimum), gathered(of_high, x, maximum)


def soft_fake_quantize(x, scale, zero_point, qmin, qmax, sharpness, beta=1.0):
    """Twin of refq.soft_fake_quantize.

    One pass over x, parallel, no temporaries.
    Spec: soft_fake_quantize
    """
    x, scale, zero_point = surrogates.steps(x, scale, zero_point, qmin, qmax)
    surrogates.sharpness(sharpness, x)
    rows, steps, zeros = as_rows(x, scale, zero_point)
    x_hat, (pieces, share) = np.empty_like(rows), pieces_of(rows)
    form = surrogates.beta(beta, x), x.dtype.type(FAR)
    _forward(rows, steps, qmin - zeros, qmax - zeros, form, x_hat, pieces.shape, share)
    return x_hat.reshape(x.shape)[()]


def soft_fake_quantize_vjp(g, x, scale, zero_point, qmin, qmax, sharpness, beta=1.0):
    """Twin of refq.soft_fake_quantize_vjp.

    One pass over g and x, parallel.
    Spec: soft_fake_quantize_vjp
    """
    x, scale, zero_point = surrogates.steps(x, scale, zero_point, qmin, qmax)
    g, sharpness = checks.gradient(g, x), surrogates.sharpness(sharpness, x)
    rows, steps, zeros = as_rows(x, scale, zero_point)
    gx, (sums, share) = np.empty_like(rows), pieces_of(rows)
    form = surrogates.beta(beta, x), x.dtype.type(FAR), sharpness
    _vjp(np.ascontiguousarray(g).reshape(rows.shape), rows, steps, qmin - zeros, qmax - zeros, form, gx, sums, share)
    return gx.reshape(x.shape)[()], gathered(sums, x, scale)


# A task takes `share` pieces, a piece is a run of one row. low and high are the ends of one row each.


@parallel
def _clamp(x, low, high, beta, y, shape, share):
    for task in prange((shape[0] * shape[1] + share - 1) // share):
        for piece in range(task * share, min(task * share + share, shape[0] * shape[1])):
            row, at = piece // shape[1], piece % shape[1] * PIECE
            _clamp_run(x[row, at : at + PIECE], low[row], high[row], beta, y[row, at : at + PIECE])


@parallel
def _clamp_vjp(g, x, low, high, beta, gx, sums, share):
    pieces = sums[0].shape[1]
    for task in prange((sums[0].size + share - 1) // share):
        terms = np.empty((2, PIECE), x.dtype)
        for piece in range(task * share, min(task * share + share, sums[0].size)):
            row, at = piece // pieces, piece % pieces * PIECE
            end = min(at + PIECE, x.shape[1])
            near = terms[0, : end - at], terms[1, : end - at]
            _clamp_slopes(g[row, at:end], x[row, at:end], low[row], high[row], beta, gx[row, at:end], *near)
            sums[0][row, piece % pieces], sums[1][row, piece % pieces] = total(near[0]), total(near[1])


@parallel
def _forward(x, scale, low, high, form, x_hat, shape, share):
    for task in prange((shape[0] * shape[1] + share - 1) // share):
        for piece in range(task * share, min(task * share + share, shape[0] * shape[1])):
            row, at = piece // shape[1], piece % shape[1] * PIECE
            run = x[row, at : at + PIECE], scale[row], low[row], high[row]
            _round_run(*run, form, x_hat[row, at : at + PIECE])


@parallel
def _vjp(g, x, scale, low, high, form, gx, sums, share):
    pieces = sums.shape[1]
    for task in prange((sums.size + share - 1) // share):
        terms = np.empty(PIECE, x.dtype)
        for piece in range(task * share, min(task * share + share, sums.size)):
            row, at = piece // pieces, piece % pieces * PIECE
            end = min(at + PIECE, x.shape[1])
            run, near = (x[row, at:end], scale[row], low[row], high[row]), terms[: end - at]
            _vjp_run(g[row, at:end], *run, form, gx[row, at:end], near)
            sums[row, piece % pieces] = total(near)


@serial
def _stairs(sharpness, g, x, gx):
    one = x.dtype.type(1)
    for i in range(x.size):
        gx[i] = g[i] * _stair_slope(x[i], sharpness, one)


# LLVM makes vectors of a loop only where it inlines all of it: hence the gates stand in the loops.


@serial
def _clamp_run(x, low, high, beta, y):
    one = beta / beta
    for i in range(x.size):
        y[i] = _clamped(x[i], low, high, _gate(beta * (x[i] - low), one), _gate(beta * (high - x[i]), one))


@serial
def _clamp_slopes(g, x, low, high, beta, gx, terms_low, terms_high):
    one = beta / beta
    for i in range(x.size):
        up, down = _gate(beta * (x[i] - low), one), _gate(beta * (high - x[i]), one)
        at_low, at_high = _corners(x[i], low, high, beta, up, down)
        gx[i] = g[i] * (up[0] * down[0] + at_low + at_high)
        terms_low[i], terms_high[i] = g[i] * (up[1] - at_low), g[i] * (down[1] - at_high)


@serial
def _round_run(x, s, low, high, form, x_hat):
    beta, far = form
    one = beta / beta
    for i in range(x.size):
        v = min(max(x[i] / s, -far), far)
        c = _clamped(v, low, high, _gate(beta * (v - low), one), _gate(beta * (high - v), one))
        x_hat[i] = (min(max(np.rint(c), low), high) + (s - s)) * s  # no -0


@serial
def _vjp_run(g, x, s, low, high, form, gx, terms):
    beta, far, sharpness = form
    one = beta / beta
    for i in range(x.size):
        v = min(max(x[i] / s, -far), far)
        up, down = _gate(beta * (v - low), one), _gate(beta * (high - v), one)
        at_low, at_high = _corners(v, low, high, beta, up, down)
        gx[i] = up[0] * down[0] + at_low + at_high
        terms[i] = _clamped(v, low, high, up, down)
    for i in range(x.size):
        slope = gx[i] * _stair_slope(terms[i], sharpness, one)
        r = min(max(np.rint(terms[i]), low), high)
        gx[i], terms[i] = g[i] * slope, g[i] * (r - slope * min(max(x[i] / s, -far), far))


@serial
def _stair_slope(x, sharpness, one):
    s, not_s = _gate(sharpness * (x - np.floor(x) - one / (one + one)), one)
    return sharpness * s * not_s if sharpness != 0 else one


@serial
def _clamped(x, low, high, up, down):
    """soft_clamp, given the gates at its ends."""
    return x * up[0] * down[0] + low * up[1] + high * down[1]


@serial
def _corners(x, low, high, beta, up, down):
    """What the corners add to its slope. Halves: where a gate is shut, the whole difference may be infinite."""
    one = beta / beta
    half, twice = one / (one + one), beta + beta
    at_low = twice * up[0] * up[1] * (x * down[0] * half - low * half)
    return at_low, twice * down[0] * down[1] * (high * half - x * up[0] * half)


@serial
def _gate(x, one):
    """sigmoid(x) and sigmoid(-x)."""
    e = exp(-abs(x))  # at most 1: exp(-x) would overflow for x < -88
    whole = one + e
    return (e if x < 0 else one) / whole, (one if x < 0 else e) / whole
