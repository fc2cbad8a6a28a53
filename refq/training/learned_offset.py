"""LSQ+: the scale of a grid and a real offset are parameters."""

import numpy as np

from refq import checks
from refq.ops.arguments import incoming
from refq.tape import unbroadcast
from refq.training import arguments


def lsq_plus(x, scale, offset, qmin, qmax):
    """Real numbers to the nearest real numbers of a grid whose step and place are learned.

    x_hat = clip(rint((x - offset) / scale), qmin, qmax) * scale + offset

    Parameters
        x: float32 (or float64), any shape, finite.
        scale: dtype of x, broadcasts to x; finite and above 0.
        offset: dtype of x, broadcasts to x; finite; the real number of code 0.
        qmin, qmax: int, as quantize takes them.
    Returns
        x_hat: dtype and shape of x.
    Raises
        GridError: a scale is not above 0, or the limits break their rule.
        NonFiniteError: x or offset holds NaN or infinity.
        ShapeError: scale or offset does not broadcast to x.

    >>> lsq_plus(np.float32([0.6, 9.0]), np.float32(0.5), np.float32(0.25), -8, 7)
    array([0.75, 3.75], dtype=float32)

    Source: Bhalgat et al. 2020 (2004.09576), section 3, recalled.
    Spec: lsq_plus
    """
    x, scale, offset = arguments.learned_offset(x, scale, offset, qmin, qmax)
    checks.finite("x", x)
    with np.errstate(over="ignore"):
        q = np.clip(np.rint((x - offset) / scale), qmin, qmax)
        return q * scale + offset


def lsq_plus_vjp(g, x, scale, offset, qmin, qmax):
    """Gradients of lsq_plus with respect to x, scale and offset, straight through the rounding.

    With t = (x - offset) / scale:
    inside, qmin < t < qmax:  gx = g,  gscale = sum of g * (rint(t) - t),          goffset = 0
    outside:                  gx = 0,  gscale = sum of g * qmin or of g * qmax,    goffset = sum of g

    Parameters
        g: incoming gradient, dtype and shape of x, finite.
        x, scale, offset, qmin, qmax: as lsq_plus takes them.
    Returns
        gx: dtype and shape of x.
        gscale, goffset: dtype of x, shapes of scale and offset; not multiplied by lsq_gradient_scale.
    Raises
        as lsq_plus; NonFiniteError or ShapeError if g breaks its rule.

    >>> lsq_plus_vjp(np.float32([1, 1]), np.float32([1, 9]), np.float32([0.5]), np.float32([0.25]), -8, 7)
    (array([1., 0.], dtype=float32), array([7.5], dtype=float32), array([1.], dtype=float32))

    Source: Bhalgat et al. 2020 (2004.09576), section 3, recalled.
    Spec: lsq_plus_vjp
    """
    x, scale, offset = arguments.learned_offset(x, scale, offset, qmin, qmax)
    x, g = checks.finite("x", x), checks.finite("g", incoming(g, x, x.shape))
    with np.errstate(over="ignore"):
        t = (x - offset) / scale
    inside, t = (qmin < t) & (t < qmax), np.clip(t, qmin, qmax)
    slope = np.where(inside, np.rint(t) - t, t)
    passed = np.where(inside, g, x.dtype.type(0))
    return passed, unbroadcast(g * slope, scale.shape), unbroadcast(g - passed, offset.shape)


def lsq_plus_range(groups, qmin, qmax):
    """The step and the offset that LSQ+ starts from: the ends of the grid are the ends of the values.

    scale = (largest - smallest) / (qmax - qmin), 1 where that is 0;  offset = smallest - qmin * scale

    Parameters
        groups: float32 (or float64), (..., group_size), finite, at least one element a group.
        qmin, qmax: int, as quantize takes them.
    Returns
        scale, offset: dtype of groups, (..., 1).
    Raises
        GridError: the limits break their rule, or a range overflows.
        NonFiniteError, ShapeError: groups breaks its rule.

    >>> lsq_plus_range(np.float32([[1, 4]]), -2, 1)
    (array([[1.]], dtype=float32), array([[3.]], dtype=float32))

    Source: Bhalgat et al. 2020 (2004.09576), section 3, recalled; the step of a constant group is our choice.
    Spec: lsq_plus_range
    """
    checks.code_limits(qmin, qmax)
    groups = checks.filled_groups(groups)
    smallest, largest = groups.min(axis=-1, keepdims=True), groups.max(axis=-1, keepdims=True)
    with np.errstate(over="ignore"):
        width = largest - smallest
    checks.range_width(width)
    scale = width / groups.dtype.type(qmax - qmin)
    scale = np.where(scale == 0, groups.dtype.type(1), scale)
    return scale, smallest - groups.dtype.type(qmin) * scale
