"""Twins of refq.grids.affine: one parallel pass each."""

import numpy as np
from numba import prange

from refq import checks
from refq_fast.kernel import parallel, serial

CHUNK = 8192  # elements a task: results are elementwise, so the cut never shows


def quantize(x, scale, zero_point, qmin, qmax):
    """Twin of refq.quantize.

    One pass over x, parallel, no temporaries.
    Spec: quantize
    """
    x, scale, zero_point = checks.grid_arguments(x, scale, zero_point, qmin, qmax)
    rows, scale, zero_point = as_rows(x, scale, zero_point)
    q = np.empty(x.size, np.int32)
    _quantize(rows.reshape(-1), scale, zero_point, x.dtype.type(qmin), x.dtype.type(qmax), q)
    return q.reshape(x.shape)


def dequantize(q, scale, zero_point):
    """Twin of refq.dequantize.

    One pass over q, parallel, no temporaries.
    Spec: dequantize
    """
    q, scale, zero_point = checks.code_arguments(q, scale, zero_point)
    rows, scale, zero_point = as_rows(q, scale, zero_point)
    x = np.empty(q.size, scale.dtype)
    _dequantize(rows.reshape(-1), scale, zero_point, x)
    return x.reshape(q.shape)


def fake_quantize(x, scale, zero_point, qmin, qmax):
    """Twin of refq.fake_quantize.

    One pass over x, parallel; the codes are never stored.
    Spec: fake_quantize
    """
    x, scale, zero_point = checks.grid_arguments(x, scale, zero_point, qmin, qmax)
    rows, scale, zero_point = as_rows(x, scale, zero_point)
    x_hat = np.empty(x.size, x.dtype)
    _fake_quantize(rows.reshape(-1), scale, zero_point, x.dtype.type(qmin), x.dtype.type(qmax), x_hat)
    return x_hat.reshape(x.shape)


def fake_quantize_vjp(g, x, scale, zero_point, qmin, qmax):
    """Twin of refq.fake_quantize_vjp.

    One pass over g and x, parallel.
    Spec: fake_quantize_vjp
    """
    x, scale, zero_point = checks.grid_arguments(x, scale, zero_point, qmin, qmax)
    g = checks.gradient(g, x)
    rows, scale, zero_point = as_rows(x, scale, zero_point)
    gx, limits = np.empty(x.size, x.dtype), (x.dtype.type(qmin), x.dtype.type(qmax))
    _fake_quantize_vjp(np.ascontiguousarray(g).reshape(-1), rows.reshape(-1), scale, zero_point, limits, gx)
    return gx.reshape(x.shape)


def as_rows(x, scale, zero_point):
    """x as (rows, columns) with one scale and one zero point a row, as cheaply as their shapes allow."""
    scale, zero_point = np.asarray(scale), np.asarray(zero_point)
    if scale.size == 1 and zero_point.size == 1:
        return np.ascontiguousarray(x).reshape(1, x.size), scale.reshape(1), zero_point.reshape(1).astype(x.dtype)
    if x.ndim and scale.shape[-1:] in ((), (1,)) and zero_point.shape[-1:] in ((), (1,)):
        outer = (*x.shape[:-1], 1)
        shape = (x.size // max(x.shape[-1], 1), x.shape[-1])
    else:
        outer, shape = x.shape, (x.size, 1)
    scale = np.ascontiguousarray(np.broadcast_to(scale, outer)).reshape(-1)
    # beside reals the zero point is a real too: Numba would promote int32 + float32 to float64
    zero_point = np.ascontiguousarray(np.broadcast_to(zero_point, outer), x.dtype).reshape(-1)
    return np.ascontiguousarray(x).reshape(shape), scale, zero_point


# The arrays come flat. A task takes CHUNK elements, and within them each run of one row: one scale, one zero point.


@parallel
def _quantize(x, scale, zero_point, qmin, qmax, q):
    columns = x.size // max(scale.size, 1)
    for task in prange((x.size + CHUNK - 1) // CHUNK):
        at, stop = task * CHUNK, min(task * CHUNK + CHUNK, x.size)
        while at < stop:
            row = at // columns
            end = min(stop, row * columns + columns)
            _quantize_run(x[at:end], scale[row], zero_point[row], qmin, qmax, q[at:end])
            at = end


@serial
def _quantize_run(x, s, z, qmin, qmax, q):
    for i in range(x.size):
        q[i] = np.int32(min(max(np.rint(x[i] / s) + z, qmin), qmax))


@parallel
def _dequantize(q, scale, zero_point, x):
    columns = q.size // max(scale.size, 1)
    for task in prange((q.size + CHUNK - 1) // CHUNK):
        at, stop = task * CHUNK, min(task * CHUNK + CHUNK, q.size)
        while at < stop:
            row = at // columns
            end = min(stop, row * columns + columns)
            _dequantize_run(q[at:end], scale[row], np.int32(zero_point[row]), x[at:end])
            at = end


@serial
def _dequantize_run(q, s, z, x):
    for i in range(q.size):
        x[i] = np.int32(q[i] - z)  # exact in integers, exact in float32
        x[i] *= s


@parallel
def _fake_quantize(x, scale, zero_point, qmin, qmax, x_hat):
    columns = x.size // max(scale.size, 1)
    for task in prange((x.size + CHUNK - 1) // CHUNK):
        at, stop = task * CHUNK, min(task * CHUNK + CHUNK, x.size)
        while at < stop:
            row = at // columns
            end = min(stop, row * columns + columns)
            _fake_quantize_run(x[at:end], scale[row], zero_point[row], qmin, qmax, x_hat[at:end])
            at = end


@serial
def _fake_quantize_run(x, s, z, qmin, qmax, x_hat):
    for i in range(x.size):
        x_hat[i] = (min(max(np.rint(x[i] / s) + z, qmin), qmax) - z) * s


@parallel
def _fake_quantize_vjp(g, x, scale, zero_point, limits, gx):
    columns = x.size // max(scale.size, 1)
    for task in prange((x.size + CHUNK - 1) // CHUNK):
        at, stop = task * CHUNK, min(task * CHUNK + CHUNK, x.size)
        while at < stop:
            row = at // columns
            end = min(stop, row * columns + columns)
            _vjp_run(g[at:end], x[at:end], scale[row], zero_point[row], limits, gx[at:end])
            at = end


@serial
def _vjp_run(g, x, s, z, limits, gx):
    for i in range(x.size):
        u = np.rint(x[i] / s) + z
        gx[i] = g[i] if limits[0] <= u <= limits[1] else s - s
