"""Exact affine grids and groups."""

from tools.oracle.numbers import Array, as_array, clip, elementwise, indices, nearest_even, rounded


def integer_range(bits, signed=True):
    return [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] if signed else [0, 2**bits - 1]


def quantize(x, scale, zero_point, qmin, qmax):
    def code(value, s, z):
        return clip(_unclipped(value, s, z, x.dtype), qmin, qmax)

    return elementwise(code, "int32", x, as_array(scale, x.dtype), as_array(zero_point, "int32"))


def dequantize(q, scale, zero_point):
    scale, zero_point = as_array(scale, "float32"), as_array(zero_point, "int32")
    return elementwise(lambda c, s, z: rounded((c - z) * s, scale.dtype), scale.dtype, q, scale, zero_point)


def fake_quantize(x, scale, zero_point, qmin, qmax):
    return dequantize(quantize(x, scale, zero_point, qmin, qmax), as_array(scale, x.dtype), zero_point)


def fake_quantize_vjp(g, x, scale, zero_point, qmin, qmax):
    def gradient(value, s, z, incoming):
        return incoming if qmin <= _unclipped(value, s, z, x.dtype) <= qmax else 0

    return elementwise(gradient, x.dtype, x, as_array(scale, x.dtype), as_array(zero_point, "int32"), g)


def to_groups(x, group_size=None, axis=-1):
    shape, order = _axis_last(x.shape, axis)
    data = [x.data[position] for position in order]
    size = shape[-1] if group_size is None else group_size
    return Array(x.dtype, (*shape[:-1], shape[-1] // size, size), data)


def from_groups(groups, shape, axis=-1):
    _, order = _axis_last(tuple(shape), axis)
    data = [None] * len(order)
    for value, position in zip(groups.data, order, strict=True):
        data[position] = value
    return Array(groups.dtype, tuple(shape), data)


def _unclipped(value, scale, zero_point, dtype):
    quotient = rounded(value / scale, dtype)
    return nearest_even(quotient) + zero_point


def _axis_last(shape, axis):
    """Shape with the axis moved to the end, and the flat source position of each element in that order."""
    if axis is None:
        n = 1
        for length in shape:
            n *= length
        return (n,), list(range(n))
    axis %= len(shape)
    moved = shape[:axis] + shape[axis + 1 :] + (shape[axis],)
    order = []
    for index in indices(moved):
        source = index[:axis] + (index[-1],) + index[axis:-1]
        position = 0
        for i, n in zip(source, shape, strict=True):
            position = position * n + i
        order.append(position)
    return moved, order
