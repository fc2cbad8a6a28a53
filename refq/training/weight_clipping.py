"""Learnable weight clipping: how much of a group's range its grid covers, one logit an end, as OmniQuant has it."""

import numpy as np

from refq import checks
from refq.grids.affine import fake_quantize, fake_quantize_vjp
from refq.ops.arguments import incoming
from refq.training import arguments

STEPS, CODES = (1e-5, 1e4), 1e4  # the steps and the zero points that OmniQuant allows


def lwc(groups, gamma, beta, bits):
    """Weights on a grid that covers a learned share of the way from 0 to the largest of a group, and to the smallest.

    low = sigmoid(beta) * min,  scale = (sigmoid(gamma) * max - low) / (2**bits - 1),  zero_point = -rint(low / scale)

    Parameters
        groups: float32 (or float64) (..., group_size), finite.
        gamma, beta: dtype of groups (..., 1), finite; the logits of the upper and of the lower end.
        bits: int, 2..8; codes 0 .. 2**bits - 1.
    Returns
        x_hat: dtype and shape of groups.
    Raises
        GridError: bits breaks its rule, or the range overflows.
        NonFiniteError: groups, gamma or beta holds NaN or infinity.
        ShapeError: gamma or beta has another shape.

    >>> lwc(np.float32([[-6, 2.25, 12]]), np.float32([[0]]), np.float32([[0]]), 2)
    array([[-3.,  3.,  6.]], dtype=float32)

    Source: OmniQuant (2308.13137), equation 2, with the limits of its program.
    Spec: lwc
    """
    groups, gamma, beta, bits = arguments.lwc(groups, gamma, beta, bits)
    scale, zero_point, _ = clipped_grid(groups, gamma, beta, bits)
    return fake_quantize(groups, scale, zero_point, 0, 2**bits - 1)


def lwc_vjp(g, groups, gamma, beta, bits):
    """Gradients of lwc, straight through the rounding of x / scale; zero point, largest and smallest are constants.

    With n = 2**bits - 1, t = x / scale, r = rint(t), low = -zero_point, high = n - zero_point; inside low <= r <= high:
    ggroups = g inside, else 0;  gscale = sum of g * (r - t inside, else clip(r, low, high)), 0 if scale is at a limit
    ggamma = gscale * max / n * sigmoid'(gamma);  gbeta = -gscale * min / n * sigmoid'(beta)

    Parameters
        g: incoming gradient, dtype and shape of groups, finite.
        groups, gamma, beta, bits: as lwc takes them.
    Returns
        ggroups: dtype and shape of groups.
        ggamma, gbeta: dtype of groups (..., 1).
    Raises
        as lwc; NonFiniteError or ShapeError if g breaks its rule.

    >>> lwc_vjp(np.float32([[0, 1, 3]]), np.float32([[-6, 2.25, 12]]), np.float32([[0]]), np.float32([[0]]), 2)
    (array([[0., 1., 0.]], dtype=float32), array([[6.25]], dtype=float32), array([[3.125]], dtype=float32))

    Source: OmniQuant's program (recalled), whose zero point has no gradient; that groups do not move the ends is ours.
    Spec: lwc_vjp
    """
    groups, gamma, beta, bits = arguments.lwc(groups, gamma, beta, bits)
    g = checks.finite("g", incoming(g, groups, groups.shape))
    scale, zero_point, slopes = clipped_grid(groups, gamma, beta, bits)
    low, high = -zero_point.astype(groups.dtype), (2**bits - 1 - zero_point).astype(groups.dtype)
    t = groups / scale
    r = np.rint(t)
    slope = np.where((low <= r) & (r <= high), r - t, np.clip(r, low, high))
    gscale = (g * slope).sum(axis=-1, keepdims=True)
    ggroups = fake_quantize_vjp(g, groups, scale, zero_point, 0, 2**bits - 1)
    return ggroups, *(gscale * slope for slope in slopes)


def clipped_grid(groups, gamma, beta, bits):
    """Scale and zero point (..., 1) of unsigned codes, and what a step moves with each logit."""
    n = groups.dtype.type(2**bits - 1)
    (upper, upper_slope), (lower, lower_slope) = (_sigmoid(logit) for logit in (gamma, beta))
    largest, smallest = groups.max(axis=-1, keepdims=True), groups.min(axis=-1, keepdims=True)
    low = lower * smallest
    with np.errstate(over="ignore"):
        width = (upper * largest - low) / n
    scale = np.clip(width, *(groups.dtype.type(limit) for limit in STEPS))
    zero_point = np.clip(-np.rint(low / scale), -CODES, CODES).astype(np.int32)
    free = width == scale
    slopes = np.where(free, largest / n * upper_slope, 0), np.where(free, -smallest / n * lower_slope, 0)
    return scale, zero_point, slopes


def _sigmoid(logit):
    """Value and slope, computed in float64."""
    with np.errstate(over="ignore"):
        value = 1 / (1 + np.exp(-logit.astype(np.float64)))
    return value.astype(logit.dtype), (value * (1 - value)).astype(logit.dtype)
