"""Learned step size quantization (LSQ): the scale of a grid is a parameter."""

import math

import numpy as np

from refq import checks
from refq.grids.affine import fake_quantize
from refq.ops.arguments import incoming
from refq.tape import unbroadcast
from refq.training import arguments


def lsq(x, scale, zero_point, qmin, qmax):
    """Real numbers to the nearest real numbers of a grid whose step is learned.

    x_hat = fake_quantize(x, scale, zero_point, qmin, qmax)

    Parameters
        x, zero_point, qmin, qmax: as quantize takes them.
        scale: dtype of x, broadcasts to x; finite and above 0.
    Returns
        x_hat: dtype and shape of x.
    Raises
        as quantize; GridError also if a scale is below 0.

    >>> lsq(np.float32([0.6, 9.0]), np.float32(0.5), 0, -8, 7)
    array([0.5, 3.5], dtype=float32)

    Source: Esser et al. 2020 (1902.08153), equations 1 and 2, recalled.
    Spec: lsq
    """
    x, scale, zero_point = arguments.learned_step(x, scale, zero_point, qmin, qmax)
    return fake_quantize(x, scale, zero_point, qmin, qmax)


def lsq_vjp(g, x, scale, zero_point, qmin, qmax):
    """Gradients of lsq with respect to x and scale, straight through the rounding.

    With t = x / scale, low = qmin - zero_point and high = qmax - zero_point:
    inside, low < t < high:   gx = g,  gscale = sum of g * (rint(t) - t)
    outside:                  gx = 0,  gscale = sum of g * low or g * high

    Parameters
        g: incoming gradient, dtype and shape of x, finite.
        x, scale, zero_point, qmin, qmax: as lsq takes them.
    Returns
        gx: dtype and shape of x.
        gscale: dtype and shape of scale; not yet multiplied by lsq_gradient_scale.
    Raises
        as lsq; NonFiniteError or ShapeError if g breaks its rule.

    >>> lsq_vjp(np.float32([1, 1]), np.float32([0.75, 9]), np.float32([0.5]), 0, -8, 7)
    (array([1., 0.], dtype=float32), array([7.5], dtype=float32))

    Source: Esser et al. 2020 (1902.08153), equations 3 and 5, recalled; the zero point is our addition.
    Spec: lsq_vjp
    """
    x, scale, zero_point = arguments.learned_step(x, scale, zero_point, qmin, qmax)
    x, g = checks.finite("x", x), checks.finite("g", incoming(g, x, x.shape))
    low, high = (qmin - zero_point).astype(x.dtype), (qmax - zero_point).astype(x.dtype)
    with np.errstate(over="ignore"):
        t = x / scale
    inside, t = (low < t) & (t < high), np.clip(t, low, high)
    slope = np.where(inside, np.rint(t) - t, t)
    return np.where(inside, g, x.dtype.type(0)), unbroadcast(g * slope, scale.shape)


def lsq_gradient_scale(count, qmax):
    """The number that LSQ multiplies the gradient of a step by, so that weights and steps move at one pace.

    1 / sqrt(count * qmax)

    Parameters
        count: int, 1 or more; how many numbers share the step.
        qmax: int, 1 or more; the largest code.
    Returns
        float.
    Raises
        GridError: count or qmax is below 1.

    >>> lsq_gradient_scale(16, 4)
    0.125

    Source: Esser et al. 2020 (1902.08153), section 2.2, recalled.
    Spec: lsq_gradient_scale
    """
    return 1 / math.sqrt(arguments.at_least_one("count", count) * arguments.at_least_one("qmax", qmax))


def lsq_scale(groups, qmax):
    """The step that LSQ starts from.

    scale = 2 * mean(|x|) / sqrt(qmax);  1 where that is 0

    Parameters
        groups: float32 (or float64), (..., group_size), finite, at least one element a group.
        qmax: int, 1 or more; the largest code.
    Returns
        scale: dtype of groups, (..., 1).
    Raises
        GridError: qmax is below 1, or a scale overflows.
        NonFiniteError, ShapeError: groups breaks its rule.

    >>> lsq_scale(np.float32([[-1, 3]]), 4)
    array([[2.]], dtype=float32)

    Source: Esser et al. 2020 (1902.08153), section 2.1, recalled; the step of an all-zero group is our choice.
    Spec: lsq_scale
    """
    groups, qmax = checks.filled_groups(groups), arguments.at_least_one("qmax", qmax)
    with np.errstate(over="ignore"):
        mean = np.abs(groups).mean(axis=-1, keepdims=True, dtype=np.float64)
        scale = (2 * mean / math.sqrt(qmax)).astype(groups.dtype)
    return np.where(scale == 0, groups.dtype.type(1), arguments.no_overflow("scale", scale))
