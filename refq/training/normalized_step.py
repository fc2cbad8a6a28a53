"""The modified LSQ of transition-rate scheduling: a grid on a fixed range, whatever the learned step."""

import numpy as np

from refq import checks
from refq.grids.affine import integer_range
from refq.tape import unbroadcast
from refq.training import arguments
from refq.training import arguments_surrogates as surrogates
from refq.training.learned_step import lsq_scale


def normalized_lsq(x, scale, bits, signed=True):
    """Real numbers to the grid k / gamma of a fixed range; there is no product with scale afterwards.

    x_hat = rint(clip(gamma * x / scale, low, high)) / gamma
    low, high = integer_range(bits, signed), gamma = high + 1
    1 bit: low = -1 (unsigned: 0), high = gamma = 1; signed: the sign in place of rint and clip, that of 0 is +1

    Parameters
        x: float32 (or float64), any shape, finite.
        scale: dtype of x, broadcasts to x; finite and above 0; the |x| that lands on 1.
        bits: int, 1..16.
        signed: bool; weights are signed, activations after a ReLU unsigned.
    Returns
        x_hat: dtype and shape of x, in -1 .. 1.
    Raises
        GridError: scale or bits breaks its rule.
        NonFiniteError: x holds NaN or infinity.
        ShapeError: scale does not broadcast to x.

    >>> normalized_lsq(np.float32([-9, 0.2, 0.3]), np.float32(1), 2)
    array([-1. ,  0. ,  0.5], dtype=float32)
    >>> normalized_lsq(np.float32([-9, 0, 0.3]), np.float32(1), 1)
    array([-1.,  1.,  1.], dtype=float32)

    Source: Lee et al. 2024 (2404.19248), section 3; the sign of 0 is our choice.
    Spec: normalized_lsq
    """
    low, high, gamma = limits(bits, signed)
    x, scale, _ = surrogates.steps(x, scale, 0, low, high)
    with np.errstate(over="ignore"):
        v = gamma * (x / scale)
    if low == -1:  # 1 bit
        return np.where(v >= 0, x.dtype.type(1), x.dtype.type(-1))
    return np.rint(np.clip(v, low, high)) / gamma + 0  # no -0


def normalized_lsq_vjp(g, x, scale, bits, signed=True):
    """Gradients of normalized_lsq with respect to x and scale, straight through the rounding and the sign.

    low <= gamma * x / scale <= high:  gx = g / scale,  gscale = -(sum of g * x / scale) / scale;  outside: both 0

    Parameters
        g: incoming gradient, dtype and shape of x, finite.
        x, scale, bits, signed: as normalized_lsq takes them.
    Returns
        gx: dtype and shape of x.
        gscale: dtype and shape of scale.
    Raises
        as normalized_lsq; NonFiniteError or ShapeError if g breaks its rule.

    >>> normalized_lsq_vjp(np.float32([6, 1]), np.float32([1, 9]), np.float32([2]), 4)
    (array([3., 0.], dtype=float32), array([-1.5], dtype=float32))

    Source: derivative of the formula of Lee et al. 2024 (2404.19248), section 3; that the ends pass is our choice.
    Spec: normalized_lsq_vjp
    """
    low, high, gamma = limits(bits, signed)
    x, scale, _ = surrogates.steps(x, scale, 0, low, high)
    g, zero = checks.gradient(g, x), x.dtype.type(0)
    with np.errstate(over="ignore"):
        t = x / scale
        inside = (low <= gamma * t) & (gamma * t <= high)
        total = unbroadcast(np.where(inside, g, zero) * np.where(inside, t, zero), scale.shape)
        return np.where(inside, g / scale, zero), -total / scale + 0  # no -0


def normalized_lsq_scale(groups, bits, signed=True):
    """The scale that normalized_lsq starts from, and that weights keep under transition-rate scheduling.

    scale = gamma * lsq_scale(groups, high),  gamma and high as in normalized_lsq

    Parameters
        groups: float32 (or float64), (..., group_size), finite, at least one element a group.
        bits: int, 1..16.
        signed: bool.
    Returns
        scale: dtype of groups, (..., 1); gamma for a group of zeros.
    Raises
        GridError: bits breaks its rule, or a scale overflows.
        NonFiniteError, ShapeError: groups breaks its rule.

    >>> normalized_lsq_scale(np.float32([[-1, 3]]), 2)
    array([[8.]], dtype=float32)

    Source: our choice; the paper's text that we have does not say.
    Spec: normalized_lsq_scale
    """
    _, high, gamma = limits(bits, signed)
    with np.errstate(over="ignore"):
        return arguments.no_overflow("scale", lsq_scale(groups, high) * gamma)


def limits(bits, signed):
    """The smallest and largest code, and the code that stands for 1."""
    if checks.bit_width(bits, 1, 16) == 1:
        return -1 if signed else 0, 1, 1
    low, high = integer_range(bits, signed)
    return low, high, high + 1
