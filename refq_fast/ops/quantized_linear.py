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

    Dot products of bytes, of two for a code of x of 9 to 15 bits. A PackedWeight lays its codes out once.
    Spec: quantized_linear
    """
    x, packed, scale, zero_point, bits = arguments.quantized_matmul(x, packed, scale, zero_point, bits)
    checks.unused_bits(packed, x.shape[-1] * bits)
    weight = integers.weight(packed, scale, zero_point, bits, x.shape[-1])
    if weight is not None and integers.exact(weight, activation_bits):
        return product(x, weight, activation_bits, symmetric)
    return product_as_stored(x, packed, scale, zero_point, bits, (activation_bits, symmetric))


def product_as_stored(x, packed, scale, zero_point, bits, activations):
    """x (..., in) with a checked weight; activations: their bits, and whether their grid is symmetric."""
    q, step, zeros = tokens.codes(finite_tokens(x), *activations, True, np.int32)
    return in_reals(integer_matmul(q, zeros, packed, zero_point, bits), scale, step)


def product(x, weight, bits, symmetric):
    """x (..., in), made codes, with an integers.Integers that is exact for so many bits."""
    y = integers.product(as_rows(x), int(bits), bool(symmetric), weight)
    if y is None:
        finite_tokens(x)
        checks.range_width(np.float32([np.inf]))
    return y if x.ndim == 2 else y.reshape(*x.shape[:-1], weight.out)


def as_rows(x):
    """x (..., in) as contiguous rows; what is so already is left alone."""
    return x if x.ndim == 2 and x.flags.c_contiguous else np.ascontiguousarray(x).reshape(-1, x.shape[-1])
