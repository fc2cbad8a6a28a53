"""Products with a weight: the one place that knows that a weight may be an array, or packed codes or indices."""

import math
from typing import NamedTuple

import numpy as np

from refq.ops import arguments
from refq.ops.codebook_matmul import codebook_matmul, codebook_matmul_vjp
from refq.ops.quantized_linear import quantized_linear
from refq.ops.quantized_matmul import quantized_matmul, quantized_matmul_vjp


class PackedWeight(NamedTuple):
    """A low-bit weight (out, in), as quantized_matmul takes it."""

    packed: np.ndarray
    scale: np.ndarray
    zero_point: np.ndarray
    bits: int

    def quantized_linear(self, x, activation_bits, symmetric=False):
        """quantized_linear of x (..., in) with this weight."""
        return quantized_linear(x, *self, activation_bits, symmetric)


class CodebookWeight(NamedTuple):
    """A low-bit weight (out, in), as codebook_matmul takes it."""

    packed: np.ndarray
    codebook: np.ndarray
    bits: int


PRODUCTS = {
    PackedWeight: (quantized_matmul, quantized_matmul_vjp),
    CodebookWeight: (codebook_matmul, codebook_matmul_vjp),
}


def linear(x, weight, bias=None):
    """Product with a weight matrix, plus a bias.

    y = x @ weight.T + bias

    Parameters
        x: float32 (or float64), (..., in).
        weight: dtype of x, (out, in); or a PackedWeight, then y = quantized_matmul(x, *weight) + bias; or a
            CodebookWeight, likewise with codebook_matmul.
        bias: dtype of x, (out,); None for no bias.
    Returns
        y: (..., out), dtype of x.
    Raises
        ShapeError: x, weight and bias do not fit.

    >>> linear(np.float32([1, 2]), np.float32([[1, 0], [1, 1]]), np.float32([0, 10]))
    array([ 1., 13.], dtype=float32)

    Source: definition.
    Spec: linear
    """
    if type(weight) in PRODUCTS:
        y = PRODUCTS[type(weight)][0](x, *weight)
        return y if bias is None else y + arguments.vector("bias", bias, y, y.shape[-1])
    x, weight, bias = arguments.linear(x, weight, bias)
    y = x @ weight.T
    return y if bias is None else y + bias


def linear_vjp(g, x, weight, bias=None):
    """Gradients of linear.

    gx = g @ weight;  gweight = sum over rows of outer(g, x);  gbias = sum over rows of g

    Parameters
        g: (..., out), dtype of x.
        x, weight, bias: as linear takes them.
    Returns
        (gx, gweight, gbias): shapes of x, weight and bias; gweight is None for a low-bit weight, gbias without a bias.
    Raises
        as linear; ShapeError if g has another shape than the result of linear.

    >>> gx, gweight, gbias = linear_vjp(np.float32([1, 2]), np.float32([3, 4]), np.float32([[1, 0], [0, 1]]))
    >>> gx, gweight, gbias
    (array([1., 2.], dtype=float32), array([[3., 4.],
           [6., 8.]], dtype=float32), None)

    Source: definition.
    Spec: linear_vjp
    """
    if type(weight) in PRODUCTS:
        gx, gweight = PRODUCTS[type(weight)][1](g, x, *weight), None
    else:
        x, weight, bias = arguments.linear(x, weight, bias)
        g = arguments.incoming(g, x, (*x.shape[:-1], weight.shape[0]))
        gx, gweight = g @ weight, _rows(g).T @ _rows(x)
    if bias is not None:
        arguments.vector("bias", bias, gx, np.shape(g)[-1])
    return gx, gweight, None if bias is None else _rows(np.asarray(g)).sum(axis=0)


def _rows(x):
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])  # -1 would not do for a width of 0
