"""Twins of refq.ops.activations: one pass each, no temporaries."""

import numpy as np

from refq import checks
from refq.ops import arguments
from refq_fast.exponential import exp
from refq_fast.kernel import serial
from refq_fast.threads import over_rows


def silu(x):
    """Twin of refq.silu.

    One pass.
    Spec: silu
    """
    x = checks.as_float("x", x)
    return elementwise(_silu, x)


def silu_vjp(g, x):
    """Twin of refq.silu_vjp.

    One pass.
    Spec: silu_vjp
    """
    x = checks.as_float("x", x)
    return elementwise(_silu_vjp, arguments.incoming(g, x, x.shape), x)


def swiglu(gate, up):
    """Twin of refq.swiglu.

    One pass.
    Spec: swiglu
    """
    return elementwise(_swiglu, *arguments.swiglu(gate, up))


def swiglu_vjp(g, gate, up):
    """Twin of refq.swiglu_vjp.

    One pass for both gradients.
    Spec: swiglu_vjp
    """
    gate, up = arguments.swiglu(gate, up)
    return elementwise(_swiglu_vjp, arguments.incoming(g, gate, gate.shape), gate, up, results=2)


def elementwise(kernel, *arrays, results=1):
    """kernel(*arrays, *results) of flat arrays, pieces of them in several threads; results of the first one's shape."""
    flat = [np.ascontiguousarray(array).reshape(-1) for array in arrays]
    out = [np.empty_like(flat[0]) for _ in range(results)]
    over_rows(kernel, *flat, *out)
    shaped = tuple(y.reshape(arrays[0].shape)[()] for y in out)
    return shaped if results > 1 else shaped[0]


@serial
def _silu(x, y):
    one = x.dtype.type(1)
    for i in range(len(x)):
        y[i] = x[i] * _sigmoid(x[i], one)


@serial
def _silu_vjp(g, x, gx):
    one = x.dtype.type(1)
    for i in range(len(x)):
        s = _sigmoid(x[i], one)
        gx[i] = g[i] * (s * (one + x[i] * (one - s)))


@serial
def _swiglu(gate, up, y):
    one = gate.dtype.type(1)
    for i in range(len(gate)):
        y[i] = gate[i] * _sigmoid(gate[i], one) * up[i]


@serial
def _swiglu_vjp(g, gate, up, ggate, gup):
    one = g.dtype.type(1)
    for i in range(len(g)):
        s = _sigmoid(gate[i], one)
        ggate[i] = g[i] * up[i] * (s * (one + gate[i] * (one - s)))
        gup[i] = g[i] * (gate[i] * s)


@serial
def _sigmoid(x, one):
    e = exp(-abs(x))  # at most 1: exp(-x) would overflow for x < -88
    return (e if x < 0 else one) / (one + e)
