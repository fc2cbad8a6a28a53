"""Products with a weight that is stored as packed low-bit codes."""

from refq.grids.affine import dequantize
from refq.grids.groups import to_groups
from refq.grids.pack import unpack_codes
from refq.ops import arguments


def quantized_matmul(x, packed, scale, zero_point, bits):
    """Product with a packed weight: x times the transpose of what dequantize gives.

    y = x @ w.T,  w[o, i] = (q[o, i] - zero_point[o, j]) * scale[o, j],  j = the group of i

    Parameters
        x: float32 (or float64), (..., in).
        packed: uint8, (out, ceil(in * bits / 8)), each row the pack_codes of in codes.
        scale: dtype of x, (out, groups); groups divides in.
        zero_point: int32, (out, groups).
        bits: int, 2..8.
    Returns
        y: (..., out), dtype of x.
    Raises
        ShapeError: the shapes do not fit.
        GridError: bits, scale or zero_point breaks its rule.
        FormatError: a bit after the last code is 1.

    >>> quantized_matmul(np.float32([1, 2]), np.uint8([[0x21]]), np.float32([[0.5]]), np.int32([[0]]), 4)
    array([2.5], dtype=float32)

    Source: definition.
    Spec: quantized_matmul
    """
    x, *weight = arguments.quantized_matmul(x, packed, scale, zero_point, bits)
    return x @ _dequantized(x.shape[-1], *weight).T


def quantized_matmul_vjp(g, x, packed, scale, zero_point, bits):
    """Gradient of quantized_matmul with respect to x.

    gx = g @ w

    Parameters
        g: (..., out), dtype of x.
        x, packed, scale, zero_point, bits: as quantized_matmul takes them.
    Returns
        gx: shape and dtype of x. (The codes are constants here.)
    Raises
        as quantized_matmul; ShapeError if g has another shape than its result.

    >>> quantized_matmul_vjp(np.float32([4]), np.float32([1, 2]), np.uint8([[0x21]]), np.float32([[0.5]]),
    ...                      np.int32([[0]]), 4)
    array([2., 4.], dtype=float32)

    Source: definition.
    Spec: quantized_matmul_vjp
    """
    x, *weight = arguments.quantized_matmul(x, packed, scale, zero_point, bits)
    g = arguments.incoming(g, x, (*x.shape[:-1], packed.shape[0]))
    return g @ _dequantized(x.shape[-1], *weight)


def _dequantized(length, packed, scale, zero_point, bits):
    q = to_groups(unpack_codes(packed, bits, length), length // scale.shape[1])  # (out, groups, group_size)
    return dequantize(q, scale[..., None], zero_point[..., None]).reshape(len(packed), length)
