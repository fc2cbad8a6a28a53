"""The argument checks, one per rule. Both packages call these, so their errors cannot diverge."""

import math

import numpy as np

from refq.errors import DtypeError, FormatError, GridError, GroupSizeError, NonFiniteError, ShapeError

LIMIT = 2**20  # largest code or zero point: every sum of two stays exact in float32


def as_float(name, x):
    """`x` as a float32 or float64 array; a float of another width, or anything else, is refused."""
    x = np.asarray(x)
    if x.dtype not in (np.float32, np.float64):
        raise DtypeError(f"{name} is {x.dtype}; float32 or float64 is needed")
    return x


def as_float_like(name, value, x):
    """`value` in the dtype of `x`: a Python number is converted, an array must already have it."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return x.dtype.type(number(name, value))
    value = np.asarray(value)
    if value.dtype != x.dtype:
        raise DtypeError(f"{name} is {value.dtype}; {x.dtype} is needed, as its partner has")
    return value


def grid_arguments(x, scale, zero_point, qmin, qmax):
    """The arguments of quantize, each by its rule."""
    code_limits(qmin, qmax)
    x = as_float("x", x)
    scale = grid_scale(scale, x)
    zero_point = grid_zero_point(zero_point, x.shape)
    return finite("x", x), scale, zero_point


def code_arguments(q, scale, zero_point):
    """The arguments of dequantize, each by its rule; a scale without a dtype is float32."""
    q = within_limit("q", as_integer("q", q))
    scale = as_float("scale", np.float32(number("scale", scale)) if type(scale) in (int, float) else scale)
    broadcasts("scale", scale, q.shape)
    return q, grid_scale(scale, scale), grid_zero_point(zero_point, q.shape)


def gradient(g, x):
    """An incoming gradient: dtype and shape of x, finite."""
    g = as_float_like("g", g, x)
    same_shape("g", g, "x", x.shape)
    return finite("g", g)


def as_integer(name, q):
    """`q` as an array of integers."""
    q = np.asarray(q)
    if q.dtype.kind not in "iu":
        raise DtypeError(f"{name} is {q.dtype}; an integer type is needed")
    return q


def finite(name, x):
    """Refuse NaN and infinity; names the first place."""
    # min and max carry NaN through and need no temporary array
    if x.size and not (x.min() > -np.inf and x.max() < np.inf):
        raise NonFiniteError(f"{first_wrong(name, x, np.isfinite(x))}; every value must be finite")
    return x


def first_wrong(name, x, good):
    """The first place of `x` that is not `good`, and its value, as a message says it."""
    where = np.unravel_index(int(np.argmin(good)), x.shape)
    return f"{name}{list(map(int, where)) if where else ''} is {x[where]}"


def broadcasts(name, value, shape):
    """`value` must broadcast to `shape` without changing it."""
    own, wanted = np.shape(value), tuple(shape)
    pairs = zip(reversed(own), reversed(wanted), strict=False)
    if own not in ((), wanted) and (len(own) > len(wanted) or any(a not in (1, b) for a, b in pairs)):
        raise ShapeError(f"{name} of shape {own} does not broadcast to {wanted}")
    return value


def same_shape(name, value, other, shape):
    """`value` must have exactly the shape of `other`."""
    if np.shape(value) != tuple(shape):
        raise ShapeError(f"{name} has shape {np.shape(value)}; {other} needs {tuple(shape)}")
    return value


def code_limits(qmin, qmax):
    """-2**20 <= qmin < qmax <= 2**20, as Python integers: those of NumPy would overflow in qmax - qmin."""
    qmin, qmax = integer("qmin", qmin), integer("qmax", qmax)
    if not -LIMIT <= qmin < qmax <= LIMIT:
        raise GridError(f"qmin={qmin}, qmax={qmax}; -2**20 <= qmin < qmax <= 2**20 is needed")
    return qmin, qmax


def grid_scale(scale, x):
    """A scale for `x`: its dtype, broadcastable, finite and not 0."""
    scale = as_float_like("scale", scale, x)
    broadcasts("scale", scale, x.shape)
    if scale.size and not (scale.min() > -np.inf and scale.max() < np.inf and scale.all()):
        wrong = first_wrong("scale", scale, np.isfinite(scale) & (scale != 0))
        raise GridError(f"{wrong}; every scale must be finite and not 0")
    return scale


def grid_zero_point(zero_point, shape):
    """An integer zero point that broadcasts to `shape`, at most 2**20 in size; returned as int32."""
    zero_point = as_integer("zero_point", zero_point)
    broadcasts("zero_point", zero_point, shape)
    return within_limit("zero_point", zero_point)


def bit_width(bits, smallest=2, largest=8):
    """A width in bits, smallest..largest."""
    if not smallest <= integer("bits", bits) <= largest:
        raise GridError(f"bits={bits}; {smallest}..{largest} is supported")
    return int(bits)


def group_size(size, axis, length):
    """`size` must divide the axis length; the message lists the usual sizes that would."""
    if integer("group_size", size) < 1 or length % size:
        fits = [g for g in (256, 128, 64, 32, 16, 8, 4, 2) if length and length % g == 0][:3]
        would = f"{' and '.join(map(str, fits))} do" if len(fits) > 1 else f"{(fits or [length])[0]} does"
        raise GroupSizeError(f"group_size={size} does not divide axis {axis} of length {length}; {would}")
    return int(size)


def codes_to_pack(q, bits, smallest=2):
    """Codes (..., n) that fit `bits` bits in two's complement, as int32; and the width."""
    bits = bit_width(bits, smallest)
    q = within(f"q of {bits} bits", has_axis("q", as_integer("q", q)), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return q.astype(np.int32, copy=False), bits


def packed_codes(packed, dtype, bits, length, smallest=2):
    """Packed numbers of type `dtype`, their width in bits and how many the last axis holds."""
    bits, length = bit_width(bits, smallest), count("length", length)
    packed = has_axis("packed", np.asarray(packed))
    if packed.dtype != dtype:
        raise DtypeError(f"packed is {packed.dtype}; {np.dtype(dtype)} is needed")
    needed = -(-length * bits // (8 * packed.dtype.itemsize))
    if packed.shape[-1] != needed:
        raise ShapeError(f"packed is {packed.shape[-1]} long; {length} codes of {bits} bits need {needed}")
    return packed, bits, length


def unused_bits(packed, used):
    """The bits of a byte stream (..., n) after the first `used` must be 0."""
    rest = packed[..., used // 8 :]
    if rest.shape[-1] and ((rest[..., 0] >> (used % 8)).any() or rest[..., 1:].any()):
        raise FormatError("a bit after the last code is 1; unused bits must be 0 (is length or bits wrong?)")


def has_axis(name, value):
    """At least one axis."""
    if value.ndim == 0:
        raise ShapeError(f"{name} has no axis; at least one is needed")
    return value


def last_axis(name, value):
    """At least one axis, and something on it."""
    if value.ndim == 0 or value.shape[-1] == 0:
        raise ShapeError(f"{name} has shape {value.shape}; a last axis of length 1 or more is needed")
    return value


def count(name, value):
    """An integer, 0 or more."""
    if integer(name, value) < 0:
        raise ShapeError(f"{name}={value}; 0 or more is needed")
    return int(value)


def range_arguments(groups, qmin, qmax, symmetric, scale_dtype):
    """Groups and code limits of a range rule, and its other arguments, each by its rule."""
    qmin, qmax = code_limits(qmin, qmax)
    if symmetric and not qmin <= -qmax < 0:
        raise GridError(f"qmin={qmin}, qmax={qmax}; a symmetric grid needs qmin <= -qmax < 0, as -8..7 has")
    if scale_dtype not in ("float32", "float16"):
        raise DtypeError(f"scale_dtype={scale_dtype!r}; 'float32' or 'float16' is needed")
    return filled_groups(groups), qmin, qmax


def filled_groups(groups):
    """Finite floats (..., group_size), at least one element a group."""
    groups = has_axis("groups", as_float("groups", groups))
    if groups.shape[-1] == 0:
        raise ShapeError(f"groups of shape {groups.shape} hold no elements; at least one a group is needed")
    return finite("groups", groups)


def preset_arguments(groups, bits):
    """Groups and width for the presets: float32 alone, because the programs that they reproduce compute in it."""
    groups = filled_groups(groups)
    if groups.dtype != np.float32:
        raise DtypeError(f"groups is {groups.dtype}; a preset reproduces float32 arithmetic and needs float32")
    return groups, bit_width(bits)


def range_width(width):
    """The width of a range must be finite."""
    if width.size and not np.isfinite(width.max()):
        raise GridError("the range of a group, largest minus smallest, overflows; scale the values down")


def within(name, value, low, high):
    """Numbers from low to high, both included."""
    if value.size and not (low <= value.min() and value.max() <= high):
        raise GridError(f"{name} reaches from {value.min()} to {value.max()}; {low}..{high} is supported")
    return value


def within_limit(name, value):
    """Whole numbers, at most 2**20 in size; returned as int32."""
    return within(name, value, -LIMIT, LIMIT).astype(np.int32, copy=False)


def integer(name, value):
    """A Python or NumPy integer, as a Python one."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise DtypeError(f"{name} is {type(value).__name__}; an integer is needed")
    return int(value)


def number(name, value):
    """A Python or NumPy number, as a Python float; infinite if it is an integer beyond all of those."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        raise DtypeError(f"{name} is {type(value).__name__}; a number is needed")
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
