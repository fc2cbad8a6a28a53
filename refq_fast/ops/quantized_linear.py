"""Twin of refq.ops.quantized_linear."""

import numpy as np

from refq import checks
from refq.ops import arguments
from refq.ops.quantized_linear import in_reals
from refq.ranges.arguments import tokens as finite_tokens
from refq_fast import integers, tokens
from refq_fast.ops.integer_matmul import integer_matmul


def quantized_linear(x, packed, scale, zero_point, bits, activation_bits, symmetric=False):
    """Twin of refq.quantized_linear.

    Dot products of bytes, a tile of the weight with 8 rows of x at a time. A PackedWeight lays its codes out once.
    Spec: quantized_linear
    """
    x, packed, scale, zero_point, bits = arguments.quantized_matmul(x, packed, scale, zero_point, bits)
    finite_tokens(x)
    checks.unused_bits(packed, x.shape[-1] * bits)
    weight = integers.weight(packed, scale, zero_point, bits, x.shape[-1]) if activation_bits <= 8 else None
    if weight is not None:
        return product(x, weight, activation_bits, symmetric)
    return product_as_stored(x, packed, scale, zero_point, bits, (activation_bits, symmetric))


def product_as_stored(x, packed, scale, zero_point, bits, activations):
    """Finite x (..., in) with a checked weight; activations: their bits, and whether their grid is symmetric."""
    q, step, zeros = tokens.codes(x, *activations, True, np.int32)
    return in_reals(integer_matmul(q, zeros, packed, zero_point, bits), scale, step)


def product(x, weight, bits, symmetric):
    """Finite x (..., in), made codes of at most 8 bits, with an integers.Integers."""
    q, step, zero_point = tokens.codes(x, bits, symmetric, True, np.int8)
    y = integers.product(q.reshape(-1, q.shape[-1]), zero_point.reshape(-1), step.reshape(-1), weight)
    return y.reshape(*x.shape[:-1], weight.out)
