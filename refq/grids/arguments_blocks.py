"""The arguments of the block formats of llama.cpp, each by its rule. Both packages call these."""

import math

import numpy as np

from refq import checks
from refq.errors import DtypeError, GridError, NonFiniteError, ShapeError


def block_values(x, *shape):
    """float32 (..., n), finite, n a multiple of the values of a block: as (..., blocks, *shape)."""
    x, size = checks.has_axis("x", np.asarray(x)), math.prod(shape)
    if x.dtype != np.float32:
        raise DtypeError(f"x is {x.dtype}; blocks are made of float32")
    whole_blocks("x", x, size)
    return checks.finite("x", x).reshape(*x.shape[:-1], x.shape[-1] // size, *shape)


def block_codes(q, size, low, high):
    """Codes (..., n) of low..high, n a multiple of `size`: int32 (..., n / size, size)."""
    q = checks.within("q", checks.has_axis("q", checks.as_integer("q", q)), low, high).astype(np.int32, copy=False)
    whole_blocks("q", q, size)
    return q.reshape(*q.shape[:-1], q.shape[-1] // size, size)


def block_bytes(packed, size):
    """uint8 (..., blocks * size): as (..., blocks, size)."""
    packed = checks.has_axis("packed", np.asarray(packed))
    if packed.dtype != np.uint8:
        raise DtypeError(f"packed is {packed.dtype}; uint8 is needed")
    whole_blocks("packed", packed, size)
    return packed.reshape(*packed.shape[:-1], packed.shape[-1] // size, size)


def block_scale(name, value, blocks):
    """A float16-exact float32 number a block, (..., blocks): its bytes as float16, uint8 (..., blocks, 2)."""
    value = np.asarray(value)
    if value.dtype != np.float32:
        raise DtypeError(f"{name} is {value.dtype}; float32 is needed")
    checks.same_shape(name, value, "a number a block", blocks.shape[:-1])
    with np.errstate(over="ignore"):
        half = checks.finite(name, value).astype(np.float16)
    if (half != value).any():
        raise GridError(f"{checks.first_wrong(name, value, half == value)}; a number that float16 holds is needed")
    return half[..., None].astype("<f2").view(np.uint8)


def as_half(name, value):
    """float32 rounded to float16; a number beyond float16 is refused."""
    with np.errstate(over="ignore"):
        half = value.astype(np.float16)
    if not np.isfinite(half).all():
        first = checks.first_wrong(name, value, np.isfinite(half))
        raise GridError(f"{first}; float16 holds at most 65504 (scale the values down)")
    return half


def stored_half(name, raw):
    """The float16 numbers in two bytes a block, (..., blocks, 2), as float32 (..., blocks, 1); each must be finite."""
    value = np.ascontiguousarray(raw).view("<f2").astype(np.float32)
    if not np.isfinite(value).all():
        raise NonFiniteError(f"{checks.first_wrong(name, value, np.isfinite(value))}; a finite number is needed")
    return value


def whole_blocks(name, value, size):
    """The last axis must hold whole blocks."""
    if value.shape[-1] % size:
        raise ShapeError(f"{name} has shape {value.shape}; a last axis of whole blocks, {size} each, is needed")
