"""Twins of refq.training.dynamic: a row is read for its range, and again out of the cache."""

import numpy as np
from numba import prange

from refq import checks
from refq.ranges import arguments
from refq_fast.kernel import parallel, serial
from refq_fast.tokens import CHUNK, fitted, limits


def dynamic_fake_quantize(x, bits, symmetric=False):
    """Twin of refq.dynamic_fake_quantize.

    One pass over x from memory, parallel over tokens; neither ranges nor codes are stored.
    Spec: dynamic_fake_quantize
    """
    x = arguments.tokens(x)
    return _by_row(_fake_quantize, x, (x,), bits, symmetric)


def dynamic_fake_quantize_vjp(g, x, bits, symmetric=False):
    """Twin of refq.dynamic_fake_quantize_vjp.

    As dynamic_fake_quantize, with g beside x.
    Spec: dynamic_fake_quantize_vjp
    """
    x = arguments.tokens(x)
    return _by_row(_fake_quantize_vjp, x, (checks.gradient(g, x), x), bits, symmetric)


def _by_row(kernel, x, arrays, bits, symmetric):
    grid = limits(x, bits, symmetric)
    flat = [np.ascontiguousarray(array).reshape(-1, x.shape[-1]) for array in arrays]
    result, widths = np.empty_like(flat[0]), np.empty(len(flat[0]), x.dtype)
    kernel(*flat, grid, bool(symmetric), result, widths)
    checks.range_width(widths)
    return result.reshape(x.shape)


@parallel
def _fake_quantize(x, grid, symmetric, x_hat, widths):
    share = CHUNK // x.shape[1] + 1
    for task in prange((len(x) + share - 1) // share):
        for row in range(task * share, min(task * share + share, len(x))):
            s, z, widths[row] = fitted(x[row], grid, symmetric)
            _round(x[row], s, z, grid[0], grid[1], x_hat[row])


@parallel
def _fake_quantize_vjp(g, x, grid, symmetric, gx, widths):
    share = CHUNK // x.shape[1] + 1
    for task in prange((len(x) + share - 1) // share):
        for row in range(task * share, min(task * share + share, len(x))):
            s, z, widths[row] = fitted(x[row], grid, symmetric)
            _pass(g[row], x[row], s, z, grid[0], grid[1], gx[row])


@serial
def _round(x, s, z, qmin, qmax, x_hat):
    for i in range(x.size):
        x_hat[i] = (min(max(np.rint(x[i] / s) + z, qmin), qmax) - z) * s


@serial
def _pass(g, x, s, z, qmin, qmax, gx):
    for i in range(x.size):
        u = np.rint(x[i] / s) + z
        gx[i] = g[i] if qmin <= u <= qmax else z - z
