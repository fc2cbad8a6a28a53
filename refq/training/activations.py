"""Quantized activations: a namespace of operations whose linear layers multiply inputs that lie on a grid."""

from typing import NamedTuple

import numpy as np

from refq.grids.affine import integer_range
from refq.ops.namespace import Replaced


class QuantizedInput(NamedTuple):
    """A weight whose input has a static grid, that of a calibration.

    weight: all that linear takes as one.
    scale, zero_point: one number each, of shape () or (1,), as lsq takes them.
    """

    weight: object
    scale: np.ndarray
    zero_point: np.ndarray


def quantized_inputs(ops, bits, head=None, symmetric=False):
    """`ops` with a linear that quantizes its input: statically beside a QuantizedInput, else dynamically, per token.

    linear(x, weight) = ops.linear(x_hat, weight),  x_hat = dynamic_fake_quantize(x, bits) or lsq(x, scale, zero_point)

    Parameters
        ops: an engine, or what tape.lift makes of one: then gradients pass by the rules of those two.
        bits: int, 2..16; codes -2**(bits-1) .. 2**(bits-1) - 1.
        head: the weight whose input stays as it is, the very object; None for none.
        symmetric: bool, of the dynamic grids.
    Returns
        a namespace, as a model page takes it.
    Raises
        GridError: bits outside 2..16.

    >>> import refq
    >>> quantized_inputs(refq, 4).linear(np.float32([[-5, 9.6, 10]]), np.float32([[1, 1, 0]]))
    array([[5.]], dtype=float32)
    """
    limits = integer_range(bits)

    def linear(x, weight, bias=None):
        if isinstance(weight, QuantizedInput):
            weight, scale, zero_point = weight
            x = ops.lsq(x, scale, zero_point, *limits)
        elif weight is not head:
            x = ops.dynamic_fake_quantize(x, bits, symmetric)
        return ops.linear(x, weight, bias)

    return Replaced(ops, linear=linear)
