"""The nonlinearity of the feed-forward layer."""

import numpy as np

from refq import checks
from refq.ops import arguments


def silu(x):
    """Sigmoid linear unit.

    y = x * sigmoid(x),  sigmoid(x) = 1 / (1 + exp(-x))

    Parameters
        x: float32 (or float64), any shape.
    Returns
        y: shape and dtype of x.
    Raises
        DtypeError: x is not float32 or float64.

    >>> silu(np.float32([0, 100, -1000]))
    array([  0., 100.,  -0.], dtype=float32)

    Source: Elfwing et al. 2017 (1702.03118).
    Spec: silu
    """
    x = checks.as_float("x", x)
    return x * _sigmoid(x)


def silu_vjp(g, x):
    """Gradient of silu.

    gx = g * s * (1 + x * (1 - s)),  s = sigmoid(x)

    Parameters
        g: shape and dtype of x.
        x: as silu takes it.
    Returns
        gx: shape and dtype of x.
    Raises
        as silu; ShapeError if g has another shape than x.

    >>> silu_vjp(np.float32([3]), np.float32([0]))
    array([1.5], dtype=float32)

    Source: derivative of silu.
    Spec: silu_vjp
    """
    x = checks.as_float("x", x)
    return arguments.incoming(g, x, x.shape) * _slope(x)


def swiglu(gate, up):
    """Gated linear unit with silu as the gate.

    y = silu(gate) * up

    Parameters
        gate, up: float32 (or float64), of one shape.
    Returns
        y: that shape and dtype.
    Raises
        ShapeError: gate and up have different shapes.

    >>> swiglu(np.float32([0, 100]), np.float32([5, 2]))
    array([  0., 200.], dtype=float32)

    Source: Shazeer 2020 (2002.05202), equation 6.
    Spec: swiglu
    """
    gate, up = arguments.swiglu(gate, up)
    return silu(gate) * up


def swiglu_vjp(g, gate, up):
    """Gradients of swiglu.

    ggate = silu_vjp(g * up, gate);  gup = g * silu(gate)

    Parameters
        g: shape and dtype of gate.
        gate, up: as swiglu takes them.
    Returns
        (ggate, gup): shape and dtype of gate.
    Raises
        as swiglu; ShapeError if g has another shape than gate.

    >>> swiglu_vjp(np.float32([1]), np.float32([0]), np.float32([4]))
    (array([2.], dtype=float32), array([0.], dtype=float32))

    Source: derivative of swiglu.
    Spec: swiglu_vjp
    """
    gate, up = arguments.swiglu(gate, up)
    g = arguments.incoming(g, gate, gate.shape)
    return g * up * _slope(gate), g * silu(gate)


def _slope(x):
    s = _sigmoid(x)
    return s * (1 + x * (1 - s))


def _sigmoid(x):
    e = np.exp(-np.abs(x))  # at most 1: exp(-x) would overflow for x < -88
    return np.where(x < 0, e, 1) / (1 + e)
