"""Range learning: the two ends of a grid are parameters, as AIMET has it."""

import numpy as np

from refq import checks
from refq.grids.affine import fake_quantize, integer_range
from refq.ops.arguments import incoming
from refq.tape import unbroadcast
from refq.training import arguments


def learned_range(x, minimum, maximum, bits, symmetric):
    """Real numbers to the nearest real numbers of a grid whose ends are learned.

    x_hat = fake_quantize(x, scale, zero_point, qmin, qmax),  scale = (maximum - minimum) / (2**bits - 1)
    symmetric: zero_point = 0;  else: zero_point = clip(-rint(minimum / scale), 0, 2**bits - 1)

    Parameters
        x: float32 (or float64), any shape, finite.
        minimum, maximum: dtype of x, broadcast to x; finite, minimum below maximum.
        bits: int, 2..16.
        symmetric: bool, codes -2**(bits - 1) .. 2**(bits - 1) - 1, or 0 .. 2**bits - 1.
    Returns
        x_hat: dtype and shape of x.
    Raises
        GridError: a range has no width, or bits breaks its rule.
        NonFiniteError: x, minimum or maximum holds NaN or infinity.
        ShapeError: minimum or maximum does not broadcast to x.

    >>> learned_range(np.float32([0.6, 9.0]), np.float32(-1), np.float32(2), 2, False)
    array([1., 2.], dtype=float32)

    Source: aimet-torch 2.42.0, QuantizeDequantize with min and max as parameters, read and run.
    Spec: learned_range
    """
    x, minimum, maximum = arguments.learned_range(x, minimum, maximum, bits)
    scale, zero_point, _ = range_grid(minimum, maximum, bits, symmetric)
    return fake_quantize(x, scale, zero_point, *integer_range(bits, signed=symmetric))


def learned_range_vjp(g, x, minimum, maximum, bits, symmetric):
    """Gradients of learned_range, straight through the rounding of x / scale and that of minimum / scale.

    With n = 2**bits - 1, t = x / scale, r = rint(t), low = qmin - zero_point, high = qmax - zero_point:
    inside, low <= r <= high:  gx = g,  a = (r - t) / n,                             b = -a
    outside, zero_point fixed: gx = 0,  a = clip(r, low, high) / n,                  b = -a
    outside, else:             gx = 0,  a = (clip(r, low, high) - minimum / scale) / n,  b = 1 - a
    gmaximum = sum of g * a,  gminimum = sum of g * b

    Parameters
        g: incoming gradient, dtype and shape of x, finite.
        x, minimum, maximum, bits, symmetric: as learned_range takes them.
    Returns
        gx: dtype and shape of x.
        gminimum, gmaximum: dtype of x, shapes of minimum and maximum.
    Raises
        as learned_range; NonFiniteError or ShapeError if g breaks its rule.

    >>> g, x, ends = np.float32([3, 1]), np.float32([0.75, 9]), np.float32([[-1], [2]])
    >>> learned_range_vjp(g, x, *ends, 2, False)
    (array([3., 0.], dtype=float32), array([-0.25], dtype=float32), array([1.25], dtype=float32))

    Source: aimet-torch 2.42.0, read and run.
    Spec: learned_range_vjp
    """
    x, minimum, maximum = arguments.learned_range(x, minimum, maximum, bits)
    x, g = checks.finite("x", x), checks.finite("g", incoming(g, x, x.shape))
    scale, zero_point, follows = range_grid(minimum, maximum, bits, symmetric)
    low, high = range_ends(zero_point, bits, symmetric, x.dtype)
    with np.errstate(over="ignore"):
        t = np.clip(x / scale, low - 1, high + 1)
        place = np.where(follows, minimum / scale, x.dtype.type(0))
    r = np.rint(t)
    inside, n = (low <= r) & (r <= high), x.dtype.type(2**bits - 1)
    a = np.where(inside, r - t, np.clip(r, low, high) - place) / n
    b = np.where(inside | ~follows, -a, 1 - a)
    gx = np.where(inside, g, x.dtype.type(0))
    return gx, unbroadcast(g * b, minimum.shape), unbroadcast(g * a, maximum.shape)


def range_grid(minimum, maximum, bits, symmetric):
    """Scale and zero point of a range, and where the zero point follows minimum: not if symmetric, not if clipped."""
    n = 2**bits - 1
    scale = (maximum - minimum) / minimum.dtype.type(n)
    if symmetric:
        return scale, np.zeros(scale.shape, np.int32), np.zeros(scale.shape, bool)
    with np.errstate(over="ignore"):
        code = -np.rint(minimum / scale)
    return scale, np.clip(code, 0, n).astype(np.int32), (code >= 0) & (code <= n)


def range_ends(zero_point, bits, symmetric, dtype):
    """The smallest and the largest code, less the zero point."""
    qmin, qmax = integer_range(bits, signed=symmetric)
    return (qmin - zero_point).astype(dtype), (qmax - zero_point).astype(dtype)
