"""Twins of refq.ops.gelu: one pass each; in float32 erf is a quotient of polynomials that LLVM turns into vectors."""

import math

import numpy as np
from numba import types
from numba.extending import overload

from refq import checks
from refq.ops import arguments
from refq.ops.gelu import CUBIC, SATURATED
from refq_fast.exponential import exp
from refq_fast.kernel import serial
from refq_fast.ops.activations import elementwise

# erf(z) = z P(z**2) / Q(z**2) up to 3.95: fitted for the smallest relative error, 2**-25; above 1 at LAST, by 2**-19
NUMERATOR = tuple(
    np.float32(c) for c in (2.025926733e-6, 2.846872085e-4, 3.808106994e-3, 5.287527666e-2, 0.1915489435, 1.128379107)
)
DENOMINATOR = tuple(
    np.float32(c) for c in (3.783197099e-5, 1.170713920e-3, 1.505497843e-2, 0.1145590693, 0.5030884743, 1)
)
LAST = np.float32(4.25)


def gelu(x):
    """Twin of refq.gelu.

    One pass.
    Spec: gelu
    """
    return elementwise(_gelu, checks.as_float("x", x))


def gelu_vjp(g, x):
    """Twin of refq.gelu_vjp.

    One pass.
    Spec: gelu_vjp
    """
    x = checks.as_float("x", x)
    return elementwise(_gelu_vjp, arguments.incoming(g, x, x.shape), x)


def gelu_tanh(x):
    """Twin of refq.gelu_tanh.

    One pass; (1 + tanh(u)) / 2 is the sigmoid of 2 u.
    Spec: gelu_tanh
    """
    return elementwise(_gelu_tanh, checks.as_float("x", x))


def gelu_tanh_vjp(g, x):
    """Twin of refq.gelu_tanh_vjp.

    One pass, as gelu_tanh.
    Spec: gelu_tanh_vjp
    """
    x = checks.as_float("x", x)
    return elementwise(_gelu_tanh_vjp, arguments.incoming(g, x, x.shape), x)


def erf(z):
    """The error function within 8 units in the last place, never beyond 1: no probability is below 0."""
    raise NotImplementedError("for kernels only")


@overload(erf)
def _choose(z):
    return (lambda z: _erf32(z)) if z == types.float32 else (lambda z: math.erf(z))


@serial
def _erf32(z):
    size = min(abs(z), LAST)
    w, p, q = size * size, NUMERATOR[0], DENOMINATOR[0]
    for c in NUMERATOR[1:]:
        p = p * w + c
    for c in DENOMINATOR[1:]:
        q = q * w + c
    e, one = size * (p / q), np.float32(1)
    return math.copysign(one if e > one else e, z)


@serial
def _gelu(x, y):
    kind = x.dtype.type
    one, half, root = kind(1), kind(0.5), kind(math.sqrt(0.5))
    for i in range(len(x)):
        y[i] = x[i] * (half * (one + erf(x[i] * root)))


@serial
def _gelu_vjp(g, x, gx):
    kind = x.dtype.type
    one, half, root, height = kind(1), kind(0.5), kind(math.sqrt(0.5)), kind(1 / math.sqrt(2 * math.pi))
    limit = kind(SATURATED)
    for i in range(len(x)):
        c = _clipped(x[i], limit)
        gx[i] = g[i] * (half * (one + erf(x[i] * root)) + c * (height * exp(-half * c * c)))


@serial
def _gelu_tanh(x, y):
    kind = x.dtype.type
    one, limit, cubic, factor = kind(1), kind(SATURATED), kind(CUBIC), kind(math.sqrt(8 / math.pi))
    for i in range(len(x)):
        c = _clipped(x[i], limit)
        y[i] = x[i] * _sigmoid(factor * (c + cubic * c * c * c), one)


@serial
def _gelu_tanh_vjp(g, x, gx):
    kind = x.dtype.type
    one, limit, cubic, factor = kind(1), kind(SATURATED), kind(CUBIC), kind(math.sqrt(8 / math.pi))
    for i in range(len(x)):
        c = _clipped(x[i], limit)
        s = _sigmoid(factor * (c + cubic * c * c * c), one)
        gx[i] = g[i] * (s + c * (s * (one - s)) * (factor * (one + kind(3) * cubic * c * c)))


@serial
def _sigmoid(x, one):
    e = exp(-abs(x))
    return (e if x < 0 else one) / (one + e)


@serial
def _clipped(x, limit):
    return limit if x > limit else (-limit if x < -limit else x)  # NaN stays NaN
