"""The arguments of the training functions, each by its rule; both packages call these."""

import numpy as np

from refq import checks
from refq.errors import GridError
from refq.ops.arguments import positive

LARGEST = 2.0**10  # moderate number


def learned_step(x, scale, zero_point, qmin, qmax):
    """The arguments of lsq but for `finite`, which is a pass over x: those of quantize, and every step above 0."""
    checks.code_limits(qmin, qmax)
    x = checks.as_float("x", x)
    scale = above_zero("scale", checks.grid_scale(scale, x))
    return x, scale, checks.grid_zero_point(zero_point, x.shape)


def learned_offset(x, scale, offset, qmin, qmax):
    """The arguments of lsq_plus but for `finite` of x: steps above 0, and offsets that are finite."""
    checks.code_limits(qmin, qmax)
    x = checks.as_float("x", x)
    scale = above_zero("scale", checks.grid_scale(scale, x))
    return x, scale, parameter("offset", offset, x)


def learned_range(x, minimum, maximum, bits):
    """The arguments of learned_range but for `finite` of x: ends that are finite and a step apart."""
    x, bits = checks.as_float("x", x), checks.bit_width(bits, largest=16)
    minimum, maximum = parameter("minimum", minimum, x), parameter("maximum", maximum, x)
    with np.errstate(over="ignore"):
        step = np.asarray((maximum - minimum) / x.dtype.type(2**bits - 1))
    good = (step > 0) & np.isfinite(step)
    if not good.all():
        wrong = checks.first_wrong("(maximum - minimum) / (2**bits - 1)", step, good)
        raise GridError(f"{wrong}; every learned range needs a step that is finite and above 0")
    return x, minimum, maximum


def lwc(groups, gamma, beta, bits):
    """Finite groups (..., group_size), a finite logit an end (..., 1), and the width."""
    groups, bits = checks.filled_groups(groups), checks.bit_width(bits)
    shape = (*groups.shape[:-1], 1)
    logits = [parameter(name, value, groups) for name, value in (("gamma", gamma), ("beta", beta))]
    for name, value in zip(("gamma", "beta"), logits, strict=True):
        checks.same_shape(name, value, f"groups of shape {groups.shape}", shape)
    return groups, *logits, bits


def parameter(name, value, x):
    """Finite numbers in the dtype of x that broadcast to x."""
    value = checks.as_float_like(name, value, x)
    return checks.finite(name, checks.broadcasts(name, value, x.shape))


def above_zero(name, scale):
    """Steps that an update may have carried to 0 or beyond."""
    if scale.size and not scale.min() > 0:
        wrong = checks.first_wrong(name, scale, scale > 0)
        raise GridError(f"{wrong}; every learned step must be above 0: a smaller learning rate keeps it there")
    return scale


def moderate(name, value):
    """A number of 2**-10 .. 2**10: it and its square are far from the ends of float32."""
    if not 1 / LARGEST <= positive(name, value) <= LARGEST:
        raise GridError(f"{name}={value}; 1/1024..1024 is supported")
    return float(value)


def at_least_one(name, value):
    """An integer, 1 or more."""
    if checks.integer(name, value) < 1:
        raise GridError(f"{name}={value}; 1 or more is needed")
    return int(value)


def no_overflow(name, value):
    """What was computed from finite numbers must be finite."""
    if value.size and not value.max() < float("inf"):
        raise GridError(f"{name} overflows {value.dtype}; scale the values down")
    return value
