"""Layer normalisation."""

import numpy as np

from refq.ops import arguments


def layer_norm(x, weight, bias, eps):
    """Shift each vector to mean 0, divide it by its standard deviation, weight it and add a bias.

    y = (x - mean(x)) / sqrt(mean((x - mean(x))**2) + eps) * weight + bias

    Parameters
        x: float32 (or float64), (..., D).
        weight, bias: dtype of x, (D,).
        eps: float above 0, in units of x squared.
    Returns
        y: shape and dtype of x.
    Raises
        ShapeError: weight or bias does not fit x.
        GridError: eps is not above 0.

    >>> layer_norm(np.float32([4, 6]), np.float32([1, 2]), np.float32([0, 10]), 3.0)
    array([-0.5, 11. ], dtype=float32)

    Source: Ba et al. 2016 (1607.06450), equation 4; eps inside the root as in BERT.
    Spec: layer_norm
    """
    x, weight, bias, eps = arguments.layer_norm(x, weight, bias, eps)
    normal, _ = _normal(x, eps)
    return normal * weight + bias


def layer_norm_vjp(g, x, weight, bias, eps):
    """Gradients of layer_norm.

    n = (x - mean(x)) / root;  h = g * weight;  gx = (h - mean(h) - n * mean(h * n)) / root;
    gweight = sum over vectors of g * n;  gbias = sum over vectors of g

    Parameters
        g: shape and dtype of x.
        x, weight, bias, eps: as layer_norm takes them.
    Returns
        (gx, gweight, gbias): shapes of x, weight and bias.
    Raises
        as layer_norm; ShapeError if g has another shape than x.

    >>> layer_norm_vjp(np.float32([4, 0]), np.float32([4, 6]), np.float32([1, 1]), np.float32([0, 0]), 3.0)
    (array([ 0.75, -0.75], dtype=float32), array([-2.,  0.], dtype=float32), array([4., 0.], dtype=float32))

    Source: derivative of layer_norm.
    Spec: layer_norm_vjp
    """
    x, weight, bias, eps = arguments.layer_norm(x, weight, bias, eps)
    g = arguments.incoming(g, x, x.shape)
    n, root = _normal(x, eps)
    h = g * weight
    gx = (h - _mean(h) - n * _mean(h * n)) / root
    return gx, (g * n).reshape(-1, len(weight)).sum(axis=0), g.reshape(-1, len(weight)).sum(axis=0)


def _normal(x, eps):
    centred = x - _mean(x)
    root = np.sqrt(_mean(centred * centred) + eps)
    return centred / root, root


def _mean(x):
    return np.mean(x, axis=-1, keepdims=True)
