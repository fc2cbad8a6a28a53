"""Exact numbers, float formats as rounding rules, and small arrays."""

import itertools
import math
from fractions import Fraction
from typing import NamedTuple

FORMATS = {"float16": (11, -14, 15), "float32": (24, -126, 127), "float64": (53, -1022, 1023)}
INTEGERS = ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf, "-0.0": Fraction(0)}


class Array(NamedTuple):
    """dtype, shape and the flat list of exact values (Fraction, int, or a float infinity or NaN), C order."""

    dtype: str
    shape: tuple
    data: list


class Bounded(NamedTuple):
    """A result that need not be exact: the value and the allowed absolute error, of the same shape."""

    value: object
    within: object


def rounded(value, dtype="float32"):
    """The number of the format nearest to an exact value, ties to even; infinity beyond the largest."""
    if isinstance(value, float) or value == 0:  # an infinity or NaN stays what it is
        return value
    precision, smallest, largest = FORMATS[dtype]
    value = Fraction(value)
    exponent = abs(value.numerator).bit_length() - value.denominator.bit_length()
    if abs(value) < Fraction(2) ** exponent:
        exponent -= 1
    step = Fraction(2) ** (max(exponent, smallest) - precision + 1)
    nearest = round(value / step) * step  # round() of a Fraction goes to even on ties
    if abs(nearest) >= Fraction(2) ** (largest + 1):
        return math.copysign(math.inf, value)
    return nearest


def ulp(value, dtype="float32"):
    """Distance to the next number of the format, at `value`."""
    precision, smallest, _ = FORMATS[dtype]
    value = abs(Fraction(value))
    exponent = smallest
    while value >= Fraction(2) ** (exponent + 1):
        exponent += 1
    return Fraction(2) ** (exponent - precision + 1)


def nearest_even(value):
    """The integer nearest to an exact value, ties to even; an infinity stays one."""
    return value if isinstance(value, float) else round(Fraction(value))


def clip(value, low, high):
    """`value` limited to low..high."""
    return min(max(value, low), high)


def as_array(value, dtype):
    """A number as an array without axes; an array as it is."""
    return value if isinstance(value, Array) else Array(dtype, (), [value])


def elementwise(function, dtype, *arrays):
    """`function` on every element of the arrays, broadcast to the first one's shape."""
    shape = arrays[0].shape
    data = [function(*(a.data[_offset(index, a.shape)] for a in arrays)) for index in indices(shape)]
    return Array(dtype, shape, data)


def indices(shape):
    """All index tuples of a shape, C order."""
    return itertools.product(*map(range, shape))


def rows(array):
    """The flat data cut into lists along the last axis."""
    n = array.shape[-1]
    return [array.data[i : i + n] for i in range(0, len(array.data), n)] if n else []


def decode(value):
    """JSON form to exact values: arrays become Array, numbers Fraction or int, other objects dicts."""
    if isinstance(value, dict) and "dtype" in value:
        shape = tuple(value["shape"])
        if "hex" in value:
            return Array(value["dtype"], shape, list(bytes.fromhex(value["hex"])))
        return Array(value["dtype"], shape, [_number(v, value["dtype"]) for v in value["data"]])
    if isinstance(value, dict):
        return {name: decode(item) for name, item in value.items()}
    if isinstance(value, list):
        return [decode(item) for item in value]
    return Fraction(value) if isinstance(value, float) else value


def encode(value):
    """Exact values to JSON form; floats as the shortest decimal that parses back to the same number."""
    if isinstance(value, Array):
        head = {"dtype": value.dtype, "shape": list(value.shape)}
        if value.dtype == "uint8":
            return head | {"hex": bytes(value.data).hex()}
        if value.dtype in INTEGERS:
            return head | {"data": [bool(v) if value.dtype == "bool" else int(v) for v in value.data]}
        return head | {"data": [_decimal(v, value.dtype) for v in value.data]}
    if isinstance(value, (tuple, list)):
        return [encode(item) for item in value]
    if isinstance(value, dict):
        return {name: encode(item) for name, item in value.items()}
    if isinstance(value, Fraction):
        return float(value)
    return value


def _offset(index, shape):
    """Flat position of a broadcast index in an array of `shape`."""
    position = 0
    for i, n in zip(index[len(index) - len(shape) :], shape, strict=True):
        position = position * n + (0 if n == 1 else i)
    return position


def _number(value, dtype):
    if isinstance(value, str):
        return SPECIAL[value]
    if dtype in INTEGERS:
        return int(value)
    return rounded(Fraction(str(value)) if isinstance(value, float) else Fraction(value), dtype)


def _decimal(value, dtype):
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if rounded(value, dtype) != value:
        raise ValueError(f"{value} is not a {dtype}")
    if value == int(value) and abs(value) < 2**24:
        return int(value)
    for digits in range(1, 18):
        text = f"{float(value):.{digits}g}"
        if dtype == "float64":
            if Fraction(float(text)) == value:
                break
        # readers parse to float64 and round once more to the format: both ways must give the same number
        elif rounded(Fraction(text), dtype) == value == rounded(Fraction(float(text)), dtype):
            break
    return float(text)
