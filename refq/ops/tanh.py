"""The hyperbolic tangent: what BERT's pooler ends with."""

import numpy as np

from refq import checks
from refq.ops import arguments


def tanh(x):
    """Hyperbolic tangent.

    y = (exp(x) - exp(-x)) / (exp(x) + exp(-x))

    Parameters
        x: float32 (or float64), any shape.
    Returns
        y: shape and dtype of x; -1..1.
    Raises
        DtypeError: x is not float32 or float64.

    >>> tanh(np.float32([0, 100, -100]))
    array([ 0.,  1., -1.], dtype=float32)

    Source: definition.
    Spec: tanh
    """
    return np.tanh(checks.as_float("x", x))


def tanh_vjp(g, x):
    """Gradient of tanh.

    gx = g * (1 - tanh(x)**2)

    Parameters
        g: shape and dtype of x.
        x: as tanh takes it.
    Returns
        gx: shape and dtype of x.
    Raises
        as tanh; ShapeError if g has another shape than x.

    >>> tanh_vjp(np.float32([3, 3]), np.float32([0, 100]))
    array([3., 0.], dtype=float32)

    Source: derivative of tanh.
    Spec: tanh_vjp
    """
    y = tanh(x)
    return arguments.incoming(g, y, y.shape) * (1 - y * y)
