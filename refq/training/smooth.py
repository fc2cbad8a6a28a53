"""Smooth stand-ins for the two corners of a quantizer: rounding (in the gradient alone) and clamping."""

import numpy as np

from refq import checks
from refq.tape import unbroadcast
from refq.training import arguments_surrogates as surrogates

FAR = 2.0**24  # quotients beyond are on an end, however soft the clamp


def sigmoid_ste(x, sharpness):
    """Rounding whose gradient is that of a smooth staircase.

    y = rint(x);  the staircase is floor(x) + sigmoid(sharpness * (x - floor(x) - 1/2))

    Parameters
        x: float32 (or float64), any shape, finite.
        sharpness: 0..1024; no part of the value, only of sigmoid_ste_vjp.
    Returns
        y: shape and dtype of x.
    Raises
        GridError: sharpness breaks its rule.
        NonFiniteError: x holds NaN or infinity.

    >>> sigmoid_ste(np.float32([0.4, 1.5, -0.7]), 10.0)
    array([ 0.,  2., -1.], dtype=float32)

    Source: Li et al. 2024 (2410.10849), of which we have read summaries alone; the hard value is our reading.
    Spec: sigmoid_ste
    """
    x = surrogates.reals(x)
    surrogates.sharpness(sharpness, x)
    return np.rint(x)


def sigmoid_ste_vjp(g, x, sharpness):
    """Gradient of sigmoid_ste: the slope of its staircase.

    gx = g * sharpness * s * (1 - s),  s = sigmoid(sharpness * (x - floor(x) - 1/2));  sharpness 0: gx = g

    Parameters
        g: incoming gradient, dtype and shape of x, finite.
        x, sharpness: as sigmoid_ste takes them.
    Returns
        gx: shape and dtype of x.
    Raises
        as sigmoid_ste; NonFiniteError or ShapeError if g breaks its rule.

    >>> sigmoid_ste_vjp(np.float32([1, 1]), np.float32([2.5, 2.5]), 8.0)
    array([2., 2.], dtype=float32)

    Source: Li et al. 2024 (2410.10849), of which we have read summaries alone; sharpness 0 is our reading.
    Spec: sigmoid_ste_vjp
    """
    x = surrogates.reals(x)
    return checks.gradient(g, x) * _stair_slope(x, surrogates.sharpness(sharpness, x))


def soft_clamp(x, minimum, maximum, beta=1.0):
    """Clamping without corners.

    y = x s(x - minimum) s(maximum - x) + minimum s(minimum - x) + maximum s(x - maximum),  s(t) = sigmoid(beta * t)

    Parameters
        x: float32 (or float64), any shape, finite.
        minimum, maximum: dtype of x, broadcast to x, finite, minimum below maximum.
        beta: 1/1024..1024; the corners are about 1 / beta wide.
    Returns
        y: shape and dtype of x; up to 0.2785 / beta beyond the limits.
    Raises
        GridError: beta breaks its rule, or minimum is not below maximum.
        NonFiniteError: x, minimum or maximum holds NaN or infinity.
        ShapeError: a limit does not broadcast to x.

    >>> soft_clamp(np.float32([-99, 0, 99]), -8.0, 8.0)
    array([-8.,  0.,  8.], dtype=float32)

    Source: Li et al. 2024 (2410.10849), of which we have read summaries alone.
    Spec: soft_clamp
    """
    return _clamped(*surrogates.soft_clamp(x, minimum, maximum, beta))[0]


def soft_clamp_vjp(g, x, minimum, maximum, beta=1.0):
    """Gradients of soft_clamp with respect to x, minimum and maximum.

    low = beta s(x - minimum) s(minimum - x) (x s(maximum - x) - minimum);  gminimum = g (s(minimum - x) - low)
    high = beta s(maximum - x) s(x - maximum) (maximum - x s(x - minimum));  gmaximum = g (s(x - maximum) - high)
    gx = g (s(x - minimum) s(maximum - x) + low + high)

    Parameters
        g: incoming gradient, dtype and shape of x, finite.
        x, minimum, maximum, beta: as soft_clamp takes them.
    Returns
        (gx, gminimum, gmaximum): shapes of x, minimum and maximum.
    Raises
        as soft_clamp; NonFiniteError or ShapeError if g breaks its rule.

    >>> soft_clamp_vjp(np.float32([1, 1, 1]), np.float32([-999, 0, 999]), np.float32([-200]), np.float32([200]))
    (array([0., 1., 0.], dtype=float32), array([1.], dtype=float32), array([1.], dtype=float32))

    Source: derivative of soft_clamp.
    Spec: soft_clamp_vjp
    """
    x, minimum, maximum, beta = surrogates.soft_clamp(x, minimum, maximum, beta)
    g = checks.gradient(g, x)
    _, gx, gminimum, gmaximum = _clamped(x, minimum, maximum, beta)
    return g * gx, unbroadcast(g * gminimum, np.shape(minimum)), unbroadcast(g * gmaximum, np.shape(maximum))


def soft_fake_quantize(x, scale, zero_point, qmin, qmax, sharpness, beta=1.0):
    """Real numbers to real numbers of the grid, through soft_clamp and then rounding.

    x_hat = scale * clip(rint(soft_clamp(x / scale, low, high)), low, high)
    low = qmin - zero_point,  high = qmax - zero_point

    Parameters
        x, zero_point, qmin, qmax: as quantize takes them.
        scale: dtype of x, broadcasts to x; finite and above 0.
        sharpness: 0..1024; no part of the value, only of soft_fake_quantize_vjp.
        beta: 1/1024..1024; the corners of the clamp are about scale / beta wide.
    Returns
        x_hat: shape and dtype of x.
    Raises
        as quantize; GridError also if a scale is below 0, or sharpness or beta breaks its rule.

    >>> soft_fake_quantize(np.float32([0.6, 3.15, 9.0]), np.float32(0.5), 0, -8, 7, 10.0)
    array([0.5, 3.5, 3.5], dtype=float32)

    Source: Li et al. 2024 (2410.10849), of which we have read summaries alone; zero point and clip are our additions.
    Spec: soft_fake_quantize
    """
    x, scale, zero_point = surrogates.steps(x, scale, zero_point, qmin, qmax)
    surrogates.sharpness(sharpness, x)
    v, low, high = _steps(x, scale, zero_point, qmin, qmax)
    c = _clamped(v, low, high, surrogates.beta(beta, x))[0]
    with np.errstate(over="ignore"):
        return _rounded(c, low, high) * scale


def soft_fake_quantize_vjp(g, x, scale, zero_point, qmin, qmax, sharpness, beta=1.0):
    """Gradients of soft_fake_quantize with respect to x and scale, through the staircase of sigmoid_ste.

    With v = x / scale, c = soft_clamp(v, low, high), r = clip(rint(c), low, high):
    slope = staircase'(c) * soft_clamp'(v);  gx = g * slope;  gscale = sum of g * (r - slope * v)

    Parameters
        g: incoming gradient, dtype and shape of x, finite.
        x, scale, zero_point, qmin, qmax, sharpness, beta: as soft_fake_quantize takes them.
    Returns
        gx: dtype and shape of x.
        gscale: dtype and shape of scale.
    Raises
        as soft_fake_quantize; NonFiniteError or ShapeError if g breaks its rule.

    >>> soft_fake_quantize_vjp(np.float32([1]), np.float32([0.5]), np.float32([1]), 0, -128, 127, 8.0)
    (array([2.], dtype=float32), array([-1.], dtype=float32))

    Source: derivative of soft_fake_quantize, the staircase of Li et al. 2024 (2410.10849) in place of rint.
    Spec: soft_fake_quantize_vjp
    """
    x, scale, zero_point = surrogates.steps(x, scale, zero_point, qmin, qmax)
    g, sharpness, beta = checks.gradient(g, x), surrogates.sharpness(sharpness, x), surrogates.beta(beta, x)
    v, low, high = _steps(x, scale, zero_point, qmin, qmax)
    c, slope, _, _ = _clamped(v, low, high, beta)
    slope = slope * _stair_slope(c, sharpness)
    return g * slope, unbroadcast(g * (_rounded(c, low, high) - slope * v), scale.shape)


def _steps(x, scale, zero_point, qmin, qmax):
    """x in steps of the grid, 0 staying 0, and the ends of the grid likewise."""
    with np.errstate(over="ignore"):
        v = np.clip(x / scale, -FAR, FAR)
    return v, (qmin - zero_point).astype(x.dtype), (qmax - zero_point).astype(x.dtype)


def _rounded(c, low, high):
    return np.clip(np.rint(c), low, high) + 0  # no -0


def _stair_slope(x, sharpness):
    if sharpness == 0:
        return np.ones_like(x)
    t = sharpness * (x - np.floor(x) - x.dtype.type(0.5))
    return sharpness * _sigmoid(t) * _sigmoid(-t)  # 1 - sigmoid(t) would cancel


def _clamped(x, low, high, beta):
    """soft_clamp, and its derivatives with respect to x, low and high."""
    with np.errstate(over="ignore"):
        up, down = beta * (x - low), beta * (high - x)
    a, b, not_a, not_b = _sigmoid(up), _sigmoid(down), _sigmoid(-up), _sigmoid(-down)
    y = x * a * b + low * not_a + high * not_b
    # halves: where a gate is shut, the whole difference may be infinite
    at_low, at_high = 2 * beta * a * not_a * (x * b / 2 - low / 2), 2 * beta * b * not_b * (high / 2 - x * a / 2)
    return y, a * b + at_low + at_high, not_a - at_low, not_b - at_high


def _sigmoid(x):
    e = np.exp(-np.abs(x))  # at most 1: exp(-x) would overflow for x < -88
    return np.where(x < 0, e, 1) / (1 + e)
