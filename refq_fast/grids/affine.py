"""Twins of refq.grids.affine: one parallel pass each."""

import numpy as np
from numba import prange

from refq import checks
from refq_fast.kernel import parallel

CHUNK = 8192  # elements a task: results are elementwise, so the cut never shows


def quantize(x, scale, zero_point, qmin, qmax):
    """Twin of refq.quantize.

    One pass over x, parallel, no temporaries.
    Spec: quantize
    """
    x, scale, zero_point = checks.grid_arguments(x, scale, zero_point, qmin, qmax)
    rows, scale, zero_point = as_rows(x, scale, zero_point)
    q = np.empty(rows.shape, np.int32)
    _quantize(rows, scale, zero_point, x.dtype.type(qmin), x.dtype.type(qmax), q)
    return q.reshape(x.shape)


def dequantize(q, scale, zero_point):
    """Twin of refq.dequantize.

    One pass over q, parallel, no temporaries.
    Spec: dequantize
    """
    q, scale, zero_point = checks.code_arguments(q, scale, zero_point)
    rows, scale, zero_point = as_rows(q, scale, zero_point)
    x = np.empty(rows.shape, scale.dtype)
    _dequantize(rows, scale, zero_point, x)
    return x.reshape(q.shape)


def fake_quantize(x, scale, zero_point, qmin, qmax):
    """Twin of refq.fake_quantize.

    One pass over x, parallel; the codes are never stored.
    Spec: fake_quantize
    """
    x, scale, zero_point = checks.grid_arguments(x, scale, zero_point, qmin, qmax)
    rows, scale, zero_point = as_rows(x, scale, zero_point)
    x_hat = np.empty_like(rows)
    _fake_quantize(rows, scale, zero_point, x.dtype.type(qmin), x.dtype.type(qmax), x_hat)
    return x_hat.reshape(x.shape)


def fake_quantize_vjp(g, x, scale, zero_point, qmin, qmax):
    """Twin of refq.fake_quantize_vjp.

    One pass over g and x, parallel.
    Spec: fake_quantize_vjp
    """
    x, scale, zero_point = checks.grid_arguments(x, scale, zero_point, qmin, qmax)
    g = checks.gradient(g, x)
    rows, scale, zero_point = as_rows(x, scale, zero_point)
    gx = np.empty_like(rows)
    _fake_quantize_vjp(g.reshape(rows.shape), rows, scale, zero_point, (x.dtype.type(qmin), x.dtype.type(qmax)), gx)
    return gx.reshape(x.shape)


def as_rows(x, scale, zero_point):
    """x as (rows, columns) with one scale and one zero point a row, as cheaply as their shapes allow."""
    scale, zero_point = np.asarray(scale), np.asarray(zero_point)
    if scale.size == 1 and zero_point.size == 1:
        shape, outer = (1, x.size), (1,)
        scale, zero_point = scale.reshape(1), zero_point.reshape(1)
    elif x.ndim and scale.shape[-1:] in ((), (1,)) and zero_point.shape[-1:] in ((), (1,)):
        outer = (*x.shape[:-1], 1)
        shape = (x.size // max(x.shape[-1], 1), x.shape[-1])
    else:
        outer, shape = x.shape, (x.size, 1)
    scale = np.ascontiguousarray(np.broadcast_to(scale, outer)).reshape(-1)
    # beside reals the zero point is a real too: Numba would promote int32 + float32 to float64
    zero_point = np.ascontiguousarray(np.broadcast_to(zero_point, outer), x.dtype).reshape(-1)
    return np.ascontiguousarray(x).reshape(shape), scale, zero_point


@parallel
def _quantize(x, scale, zero_point, qmin, qmax, q):
    rows, columns = x.shape
    chunks = (columns + CHUNK - 1) // CHUNK
    for task in prange(rows * chunks):
        row, first = task // chunks, (task % chunks) * CHUNK
        s, z = scale[row], zero_point[row]
        for j in range(first, min(first + CHUNK, columns)):
            q[row, j] = np.int32(min(max(np.rint(x[row, j] / s) + z, qmin), qmax))


@parallel
def _dequantize(q, scale, zero_point, x):
    rows, columns = q.shape
    chunks = (columns + CHUNK - 1) // CHUNK
    for task in prange(rows * chunks):
        row, first = task // chunks, (task % chunks) * CHUNK
        s, z = scale[row], zero_point[row]
        for j in range(first, min(first + CHUNK, columns)):
            x[row, j] = q[row, j] - z  # exact in integers, exact in float32
            x[row, j] *= s


@parallel
def _fake_quantize(x, scale, zero_point, qmin, qmax, x_hat):
    rows, columns = x.shape
    chunks = (columns + CHUNK - 1) // CHUNK
    for task in prange(rows * chunks):
        row, first = task // chunks, (task % chunks) * CHUNK
        s, z = scale[row], zero_point[row]
        for j in range(first, min(first + CHUNK, columns)):
            x_hat[row, j] = (min(max(np.rint(x[row, j] / s) + z, qmin), qmax) - z) * s


@parallel
def _fake_quantize_vjp(g, x, scale, zero_point, limits, gx):
    rows, columns = x.shape
    chunks = (columns + CHUNK - 1) // CHUNK
    for task in prange(rows * chunks):
        row, first = task // chunks, (task % chunks) * CHUNK
        s, z = scale[row], zero_point[row]
        for j in range(first, min(first + CHUNK, columns)):
            u = np.rint(x[row, j] / s) + z
            gx[row, j] = g[row, j] if limits[0] <= u <= limits[1] else s * 0
