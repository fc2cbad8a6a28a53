"""Logits to probabilities and log-probabilities, over the last axis."""

import numpy as np

from refq import checks
from refq.ops import arguments


def softmax(x):
    """Probabilities of logits.

    y = exp(x - max x) / sum exp(x - max x)

    Parameters
        x: float32 (or float64), (..., V), in nats; -infinity has probability 0.
    Returns
        y: shape and dtype of x; 0..1, the sum is 1.
    Raises
        ShapeError: no last axis.

    >>> softmax(np.float32([0, 0, -np.inf, 0, 0]))
    array([0.25, 0.25, 0.  , 0.25, 0.25], dtype=float32)

    Source: definition.
    Spec: softmax
    """
    e = np.exp(_shifted(x))
    return e / e.sum(axis=-1, keepdims=True)


def softmax_vjp(g, x):
    """Gradient of softmax.

    gx = y * (g - sum(g * y)),  y = softmax(x)

    Parameters
        g: shape and dtype of x.
        x: as softmax takes it.
    Returns
        gx: shape and dtype of x.
    Raises
        as softmax; ShapeError if g has another shape than x.

    >>> softmax_vjp(np.float32([4, 0]), np.float32([0, 0]))
    array([ 1., -1.], dtype=float32)

    Source: derivative of softmax.
    Spec: softmax_vjp
    """
    y = softmax(x)
    g = arguments.incoming(g, y, y.shape)
    return y * (g - (g * y).sum(axis=-1, keepdims=True))


def log_softmax(x):
    """Log-probabilities of logits.

    y = (x - max x) - log sum exp(x - max x)

    Parameters
        x: float32 (or float64), (..., V), in nats.
    Returns
        y: shape and dtype of x, in nats, at most 0.
    Raises
        ShapeError: no last axis.

    >>> log_softmax(np.float32([0, -200]))
    array([   0., -200.], dtype=float32)

    Source: definition.
    Spec: log_softmax
    """
    shifted = _shifted(x)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def log_softmax_vjp(g, x):
    """Gradient of log_softmax.

    gx = g - softmax(x) * sum(g)

    Parameters
        g: shape and dtype of x.
        x: as log_softmax takes it.
    Returns
        gx: shape and dtype of x.
    Raises
        as log_softmax; ShapeError if g has another shape than x.

    >>> log_softmax_vjp(np.float32([1, 0]), np.float32([0, 0]))
    array([ 0.5, -0.5], dtype=float32)

    Source: derivative of log_softmax.
    Spec: log_softmax_vjp
    """
    y = softmax(x)
    g = arguments.incoming(g, y, y.shape)
    return g - y * g.sum(axis=-1, keepdims=True)


def _shifted(x):
    x = arguments.last_axis("x", checks.as_float("x", x))
    return x - x.max(axis=-1, keepdims=True)  # exp of at most 0 cannot overflow
