"""Products of activations, made codes a token, with a weight of codes: whole numbers, then one scaling."""

import numpy as np

from refq.ops import arguments
from refq.ops.integer_matmul import integer_matmul
from refq.ranges.token import token_quantize


def quantized_linear(x, packed, scale, zero_point, bits, activation_bits, symmetric=False):
    """Product of quantized activations with a packed weight, in integers.

    y = step * sum over groups j of scale[o, j] * integer_matmul(q, ...)[..., o, j],  q, step = token_quantize(x)

    Parameters
        x: float32 (or float64), (..., in), finite.
        packed, scale, zero_point, bits: as quantized_matmul takes them.
        activation_bits: int, 2..16; codes of x are -2**(activation_bits-1) .. 2**(activation_bits-1) - 1.
        symmetric: bool, real 0 in the middle of the grid of x.
    Returns
        y: (..., out), dtype of x.
    Raises
        as quantized_matmul; GridError for activation_bits, or a range that overflows; NonFiniteError: x holds NaN or
        infinity.

    >>> quantized_linear(np.float32([-5, 9.6, 10]), np.uint8([[0x21, 0]]), np.float32([[0.5]]), np.int32([[0]]), 4, 4)
    array([7.5], dtype=float32)

    Source: definition; the order of the float operations is ours.
    Spec: quantized_linear
    """
    x, packed, scale, zero_point, bits = arguments.quantized_matmul(x, packed, scale, zero_point, bits)
    q, step, token_zero_point = token_quantize(x, activation_bits, symmetric)
    return in_reals(integer_matmul(q, token_zero_point, packed, zero_point, bits), scale, step)


def in_reals(sums, scale, step):
    """Sums (..., out, groups) of codes as reals (..., out): group after group, each operation rounded."""
    y = np.zeros(sums.shape[:-1], scale.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        for j in range(scale.shape[1]):
            y += sums[..., j].astype(scale.dtype) * scale[:, j]
        return y * step
