"""Root mean square normalisation."""

import numpy as np

from refq.ops import arguments


def rms_norm(x, weight, eps):
    """Divide each vector by its root mean square, then weight it.

    y = x / sqrt(mean(x**2) + eps) * weight

    Parameters
        x: float32 (or float64), (..., D).
        weight: dtype of x, (D,).
        eps: float above 0, in units of x squared.
    Returns
        y: shape and dtype of x.
    Raises
        ShapeError: weight does not fit x.
        GridError: eps is not above 0.

    >>> rms_norm(np.float32([1, 1, 1, 5]), np.float32([1, 2, 3, 4]), 9.0)
    array([0.25, 0.5 , 0.75, 5.  ], dtype=float32)

    Source: Zhang and Sennrich 2019 (1910.07467), equation 4; eps inside the root as in LLaMA.
    Spec: rms_norm
    """
    x, weight, eps = arguments.rms_norm(x, weight, eps)
    return x / _root(x, eps) * weight


def rms_norm_vjp(g, x, weight, eps):
    """Gradients of rms_norm.

    n = x / root;  h = g * weight;  gx = (h - n * mean(h * n)) / root;  gweight = sum over vectors of g * n

    Parameters
        g: shape and dtype of x.
        x, weight, eps: as rms_norm takes them.
    Returns
        (gx, gweight): shapes of x and weight.
    Raises
        as rms_norm; ShapeError if g has another shape than x.

    >>> rms_norm_vjp(np.float32([2, 2]), np.float32([2, 2]), np.float32([1, 1]), 12.0)
    (array([0.375, 0.375], dtype=float32), array([1., 1.], dtype=float32))

    Source: derivative of rms_norm.
    Spec: rms_norm_vjp
    """
    x, weight, eps = arguments.rms_norm(x, weight, eps)
    g = arguments.incoming(g, x, x.shape)
    root = _root(x, eps)
    n, h = x / root, g * weight
    gx = (h - n * np.mean(h * n, axis=-1, keepdims=True)) / root
    return gx, (g * n).reshape(-1, len(weight)).sum(axis=0)


def _root(x, eps):
    return np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)
