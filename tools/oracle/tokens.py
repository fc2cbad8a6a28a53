"""Codes of tokens and their products with packed codes, in exact arithmetic."""

from fractions import Fraction

from tools.oracle import grids, ranges
from tools.oracle.numbers import Array, clip, elementwise, nearest_even, rounded, rows


def token_quantize(x, bits, symmetric=False, zero=True):
    qmin, qmax = grids.integer_range(bits)
    if zero:
        scale, zero_point = ranges.minmax(x, qmin, qmax, symmetric)
    else:
        found = [_observed(row, x.dtype, qmin, qmax) for row in rows(x)]
        shape = (*x.shape[:-1], 1)
        scale = Array(x.dtype, shape, [step for step, _ in found])
        zero_point = Array("int32", shape, [offset for _, offset in found])
    return [grids.quantize(x, scale, zero_point, qmin, qmax), scale, zero_point]


def integer_matmul(q, zero_point, packed, weight_zero_point, bits):
    groups = weight_zero_point.shape[1]
    size = q.shape[-1] // groups
    zero_point = zero_point if isinstance(zero_point, Array) else Array("int32", (), [zero_point])
    x = rows(elementwise(lambda code, zero: code - zero, "int64", q, zero_point))
    weight = [
        [code - zeros[i // size] for i, code in enumerate(_unpacked(row, bits, q.shape[-1]))]
        for row, zeros in zip(rows(packed), rows(weight_zero_point), strict=True)
    ]
    data = [
        sum(a * b for a, b in zip(row[j : j + size], w[j : j + size], strict=True))
        for row in x
        for w in weight
        for j in range(0, groups * size, size)
    ]
    reach = max((abs(code) for row in x for code in row), default=0)
    reach *= (2 ** (bits - 1) + max(map(abs, weight_zero_point.data), default=0)) * size
    return Array("int32" if reach < 2**31 else "int64", (*q.shape[:-1], len(weight), groups), data)


def quantized_linear(x, packed, scale, zero_point, bits, activation_bits, symmetric=False):
    q, step, token_zero_point = token_quantize(x, activation_bits, symmetric)
    sums = iter(rows(integer_matmul(q, token_zero_point, packed, zero_point, bits)))
    data = []
    for size in step.data:
        for scales in rows(scale):
            total = Fraction(0)
            for whole, factor in zip(next(sums), scales, strict=True):
                total = rounded(total + rounded(rounded(Fraction(whole), x.dtype) * factor, x.dtype), x.dtype)
            data.append(rounded(total * size, x.dtype))
    return Array(x.dtype, (*x.shape[:-1], scale.shape[0]), data)


def _observed(row, dtype, qmin, qmax):
    """QLLM's range, without 0: step and zero point."""
    low, high = min(row), max(row)
    step = max(rounded(rounded(high - low, dtype) / (qmax - qmin), dtype), rounded(Fraction(1, 100000), dtype))
    return step, qmin + nearest_even(clip(rounded(-low / step, dtype), -10000, 10000))


def _unpacked(row, bits, length):
    stream = sum(byte << (8 * i) for i, byte in enumerate(row))
    unsigned = [stream >> (bits * i) & (2**bits - 1) for i in range(length)]
    return [u - 2**bits if u >= 2 ** (bits - 1) else u for u in unsigned]
