"""Affine grids: real = (q - zero_point) * scale."""

import numpy as np

from refq import checks


def integer_range(bits, signed=True):
    """Code limits of a `bits`-wide integer.

    signed: -2**(bits-1) .. 2**(bits-1) - 1;  unsigned: 0 .. 2**bits - 1.

    Parameters
        bits: int, 2..16; codes of up to 8 bits can be packed.
        signed: bool, two's complement or unsigned.
    Returns
        qmin, qmax: int.
    Raises
        GridError: bits outside 2..16.

    >>> integer_range(4)
    (-8, 7)

    Source: definition.
    Spec: integer_range
    """
    bits = checks.bit_width(bits, largest=16)
    if signed:
        return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    return 0, 2**bits - 1


def quantize(x, scale, zero_point, qmin, qmax):
    """Real numbers to integer codes on the grid qmin..qmax.

    q = clip(rint(x / scale) + zero_point, qmin, qmax)

    Parameters
        x: float32 (or float64), any shape, finite.
        scale: dtype of x, broadcasts to x; one step of the grid in units of x; finite, not 0.
        zero_point: int32, broadcasts to x; the code of real 0, may lie off the grid; at most 2**20 in size.
        qmin, qmax: int, the smallest and largest code; -2**20 <= qmin < qmax <= 2**20.
    Returns
        q: int32, shape of x.
    Raises
        GridError: scale, zero_point or limits break their rule.
        NonFiniteError: x holds NaN or infinity.
        ShapeError: scale or zero_point does not broadcast to x.

    >>> quantize(np.float32([0.5, 1.5, 2.5, -0.5]), 1.0, 1, -8, 7)
    array([1, 3, 3, 1], dtype=int32)

    Source: the order of operations is that of ONNX QuantizeLinear.
    Spec: quantize
    """
    x, scale, zero_point = checks.grid_arguments(x, scale, zero_point, qmin, qmax)
    return np.clip(_unclipped(x, scale, zero_point), qmin, qmax).astype(np.int32)


def dequantize(q, scale, zero_point):
    """Integer codes to real numbers.

    x = (q - zero_point) * scale

    Parameters
        q: integer codes, any shape, at most 2**20 in size.
        scale: float32 (or float64), broadcasts to q; finite, not 0.
        zero_point: int32, broadcasts to q; at most 2**20 in size.
    Returns
        x: dtype of scale, shape of q.
    Raises
        GridError: q, scale or zero_point breaks its rule.
        ShapeError: scale or zero_point does not broadcast to q.

    >>> dequantize(np.int32([1, 3]), np.float32(0.5), 1)
    array([0., 1.], dtype=float32)

    Source: Jacob et al. 2018 (1712.05877), equation 1.
    Spec: dequantize
    """
    q, scale, zero_point = checks.code_arguments(q, scale, zero_point)
    with np.errstate(over="ignore"):
        return (q - zero_point).astype(scale.dtype) * scale


def fake_quantize(x, scale, zero_point, qmin, qmax):
    """Real numbers to the nearest real numbers of the grid.

    x_hat = dequantize(quantize(x))

    Parameters
        x, scale, zero_point, qmin, qmax: as quantize takes them.
    Returns
        x_hat: dtype and shape of x.
    Raises
        as quantize.

    >>> fake_quantize(np.float32([0.6, 9.0]), np.float32(0.5), 0, -8, 7)
    array([0.5, 3.5], dtype=float32)

    Source: definition.
    Spec: fake_quantize
    """
    x, scale, zero_point = checks.grid_arguments(x, scale, zero_point, qmin, qmax)
    return dequantize(quantize(x, scale, zero_point, qmin, qmax), scale, zero_point)


def fake_quantize_vjp(g, x, scale, zero_point, qmin, qmax):
    """Gradient of fake_quantize with respect to x, by the clipped straight-through rule.

    gx = g where qmin <= rint(x / scale) + zero_point <= qmax, else 0

    Parameters
        g: incoming gradient, dtype and shape of x, finite.
        x, scale, zero_point, qmin, qmax: as quantize takes them.
    Returns
        gx: dtype and shape of x. (scale and zero_point are constants here.)
    Raises
        as quantize; ShapeError if g has another shape than x.

    >>> fake_quantize_vjp(np.float32([1, 1]), np.float32([3.7, 3.8]), np.float32(0.5), 0, -8, 7)
    array([1., 0.], dtype=float32)

    Source: Bengio et al. 2013 (1308.3432); the mask on the rounded code is our choice.
    Spec: fake_quantize_vjp
    """
    x, scale, zero_point = checks.grid_arguments(x, scale, zero_point, qmin, qmax)
    g = checks.gradient(g, x)
    u = _unclipped(x, scale, zero_point)
    return np.where((qmin <= u) & (u <= qmax), g, x.dtype.type(0))


def _unclipped(x, scale, zero_point):
    """The code before it is clipped, as a float; may be infinite."""
    with np.errstate(over="ignore"):
        return np.rint(x / scale) + zero_point.astype(x.dtype)
