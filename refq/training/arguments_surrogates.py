"""The arguments of the fake quantizers with other surrogates than the learned step, each by its rule."""

from refq import checks
from refq.errors import GridError
from refq.ops import arguments
from refq.training.arguments import LARGEST, learned_step, moderate


def reals(x):
    """Finite numbers of any shape."""
    return checks.finite("x", checks.as_float("x", x))


def steps(x, scale, zero_point, qmin, qmax):
    """The arguments of lsq, x finite."""
    x, scale, zero_point = learned_step(x, scale, zero_point, qmin, qmax)
    return checks.finite("x", x), scale, zero_point


def sharpness(value, x):
    """0 .. 2**10, in the dtype of x: steeper than that no float32 can tell from a jump."""
    if value != 0 and arguments.positive("sharpness", value) > LARGEST:
        raise GridError(f"sharpness={value}; 0..1024 is supported")
    return x.dtype.type(value)


def beta(value, x):
    """2**-10 .. 2**10, in the dtype of x."""
    return x.dtype.type(moderate("beta", value))


def soft_clamp(x, minimum, maximum, softness):
    """x finite; limits that broadcast to x, finite, minimum below maximum; beta."""
    x = reals(x)
    ends = [checks.as_float_like(name, v, x) for name, v in (("minimum", minimum), ("maximum", maximum))]
    for name, end in zip(("minimum", "maximum"), ends, strict=True):
        checks.finite(name, checks.broadcasts(name, end, x.shape))
    if not (ends[0] < ends[1]).all():
        raise GridError("minimum is not below maximum everywhere; clamping needs a range")
    return x, *ends, beta(softness, x)
