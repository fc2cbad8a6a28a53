"""The arguments of rotations, each by its rule. Both packages call these."""

import numpy as np

from refq import checks
from refq.errors import DtypeError, GridError, ShapeError
from refq.ops.arguments import incoming as incoming
from refq.ops.arguments import last_axis

LARGEST = 2**16  # order of a Hadamard matrix


def order(n):
    """1..65536."""
    if not 1 <= checks.integer("n", n) <= LARGEST:
        raise GridError(f"n={n}; 1..65536 is supported")
    return int(n)


def rotated(x):
    """x (..., n), n of 1..65536."""
    x = last_axis("x", checks.as_float("x", x))
    if x.shape[-1] > LARGEST:
        raise ShapeError(f"x has {x.shape[-1]} channels; at most 65536 are supported")
    return x


def gain(params, name):
    """The weight of a norm."""
    weight = _array(params, name)
    return checks.same_shape(name, weight, "a norm", (weight.size,))


def matrix(params, name, like, axis=1):
    """A weight of two axes, one of them as long as `like`, in its dtype."""
    weight = checks.as_float_like(name, _array(params, name), like)
    if weight.ndim != 2 or weight.shape[axis] != like.size:
        raise ShapeError(f"{name} has shape {weight.shape}; two axes are needed, axis {axis} of length {like.size}")
    return weight


def bias(params, name, like):
    """A bias as long as `like`, in its dtype."""
    return checks.same_shape(name, checks.as_float_like(name, _array(params, name), like), "its weight", like.shape)


def heads(name, length, d):
    """So many numbers a head must divide a length."""
    if checks.integer("head_dim", d) < 1 or length % d:
        raise ShapeError(f"{name} has {length} channels; head_dim={d} does not divide them")
    return int(d)


def signs(value, like):
    """1 or -1 for every channel, in the dtype of the model."""
    value = checks.as_float_like("signs", np.asarray(value), like)
    checks.same_shape("signs", value, "the model", like.shape)
    if (np.abs(value) != 1).any():
        raise GridError(f"{checks.first_wrong('signs', value, np.abs(value) == 1)}; 1 or -1 is needed")
    return value


def _array(params, name):
    if params.get(name) is None:
        raise ShapeError(f"params has no {name}")
    if not isinstance(params[name], np.ndarray):
        raise DtypeError(f"{name} is {type(params[name]).__name__}; a float array is needed: quantize afterwards")
    return checks.as_float(name, params[name])
