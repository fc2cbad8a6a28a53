"""The arguments of the training functions, each by its rule; both packages call these."""

from refq import checks
from refq.errors import GridError


def learned_step(x, scale, zero_point, qmin, qmax):
    """The arguments of lsq but for `finite`, which is a pass over x: those of quantize, and every step above 0."""
    checks.code_limits(qmin, qmax)
    x = checks.as_float("x", x)
    scale = above_zero("scale", checks.grid_scale(scale, x))
    return x, scale, checks.grid_zero_point(zero_point, x.shape)


def above_zero(name, scale):
    """Steps that an update may have carried to 0 or beyond."""
    if scale.size and not scale.min() > 0:
        wrong = checks.first_wrong(name, scale, scale > 0)
        raise GridError(f"{wrong}; every learned step must be above 0: a smaller learning rate keeps it there")
    return scale


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
