"""The nonlinearity of BERT's feed-forward layer: exact, and by the hyperbolic tangent as ALBERT has it."""

import math

import numpy as np

from refq import checks
from refq.ops import arguments

CUBIC = 0.044715
SATURATED = 40.0  # beyond, the density and 1 - |tanh| are 0 even in float64, and squares stay far from overflow

_erf = np.frompyfunc(math.erf, 1, 1)


def gelu(x):
    """Gaussian error linear unit: each number times the probability that a standard normal one is smaller.

    y = x * (1 + erf(x / sqrt(2))) / 2

    Parameters
        x: float32 (or float64), any shape.
    Returns
        y: shape and dtype of x.
    Raises
        DtypeError: x is not float32 or float64.

    >>> gelu(np.float32([0, 100, -100]))
    array([  0., 100.,  -0.], dtype=float32)

    Source: Hendrycks and Gimpel 2016 (1606.08415), section 2.
    Spec: gelu
    """
    x = checks.as_float("x", x)
    return x * _distribution(x)


def gelu_vjp(g, x):
    """Gradient of gelu.

    gx = g * ((1 + erf(x / sqrt(2))) / 2 + x * exp(-x**2 / 2) / sqrt(2 pi))

    Parameters
        g: shape and dtype of x.
        x: as gelu takes it.
    Returns
        gx: shape and dtype of x.
    Raises
        as gelu; ShapeError if g has another shape than x.

    >>> gelu_vjp(np.float32([3, 3]), np.float32([0, 100]))
    array([1.5, 3. ], dtype=float32)

    Source: derivative of gelu.
    Spec: gelu_vjp
    """
    x = checks.as_float("x", x)
    g = arguments.incoming(g, x, x.shape)
    c = np.clip(x, -SATURATED, SATURATED)
    return g * (_distribution(x) + c * (np.exp(-c * c / 2) / math.sqrt(2 * math.pi)))


def gelu_tanh(x):
    """The approximation of gelu by the hyperbolic tangent.

    y = x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x**3)))

    Parameters
        x: float32 (or float64), any shape.
    Returns
        y: shape and dtype of x.
    Raises
        DtypeError: x is not float32 or float64.

    >>> gelu_tanh(np.float32([0, 100, -100]))
    array([  0., 100.,  -0.], dtype=float32)

    Source: Hendrycks and Gimpel 2016 (1606.08415), section 2.
    Spec: gelu_tanh
    """
    x = checks.as_float("x", x)
    return x / 2 * (1 + _tanh(x))


def gelu_tanh_vjp(g, x):
    """Gradient of gelu_tanh.

    t = the tanh in gelu_tanh;  gx = g * ((1 + t) / 2 + x / 2 * (1 - t**2) * sqrt(2 / pi) * (1 + 3 * 0.044715 x**2))

    Parameters
        g: shape and dtype of x.
        x: as gelu_tanh takes it.
    Returns
        gx: shape and dtype of x.
    Raises
        as gelu_tanh; ShapeError if g has another shape than x.

    >>> gelu_tanh_vjp(np.float32([3, 3]), np.float32([0, 100]))
    array([1.5, 3. ], dtype=float32)

    Source: derivative of gelu_tanh.
    Spec: gelu_tanh_vjp
    """
    x = checks.as_float("x", x)
    g = arguments.incoming(g, x, x.shape)
    c, t = np.clip(x, -SATURATED, SATURATED), _tanh(x)
    return g * ((1 + t) / 2 + c / 2 * (1 - t * t) * (math.sqrt(2 / math.pi) * (1 + 3 * CUBIC * c * c)))


def _distribution(x):
    """The share of standard normal numbers below x, computed in float64."""
    erf = np.asarray(_erf(x.astype(np.float64) / math.sqrt(2)), np.float64)
    return ((1 + erf) / 2).astype(x.dtype)


def _tanh(x):
    c = np.clip(x, -SATURATED, SATURATED)
    return np.tanh(math.sqrt(2 / math.pi) * (c + CUBIC * c * c * c))
