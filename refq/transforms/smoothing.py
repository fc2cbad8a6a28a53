"""Scales of channels for fold, by the rules of SmoothQuant, Outlier Suppression+ and AWQ."""

import numpy as np

from refq.transforms import arguments_scales as arguments

SMALLEST_WEIGHT, SMALLEST_SCALE, SMALLEST_RATIO = 1e-5, 1e-5, 1e-4


def smooth_scale(x_absmax, w_absmax, alpha=0.5):
    """Scales that share the range of a channel between activations and weights.

    scale = x_absmax**alpha / w_absmax**(1 - alpha)

    Parameters
        x_absmax: float32 (or float64), (channels,), the largest |x| of each channel; at least 0.
        w_absmax: dtype of x_absmax, (channels,), the largest |w| of each channel over all layers that read it.
        alpha: 0..1; 1 leaves all channels with a largest |x| of 1.
    Returns
        scale: dtype of x_absmax, (channels,), 1e-5 or more; x / scale and w * scale.
    Raises
        GridError: a size below 0, or alpha outside 0..1.
        NonFiniteError: a size that is NaN or infinite.

    >>> smooth_scale(np.float32([16, 4]), np.float32([1, 1]))
    array([4., 2.], dtype=float32)

    Source: SmoothQuant (2211.10438), equation 4; the limits of 1e-5: its program, as it was read.
    Spec: smooth_scale
    """
    x_absmax = arguments.maxima(x_absmax, "x_absmax")
    w_absmax = arguments.like("w_absmax", arguments.maxima(w_absmax, "w_absmax"), x_absmax)
    alpha = arguments.share("alpha", alpha)
    w = np.maximum(w_absmax.astype(np.float64), SMALLEST_WEIGHT)
    scale = x_absmax.astype(np.float64) ** alpha / w ** (1 - alpha)
    return np.maximum(scale, SMALLEST_SCALE).astype(x_absmax.dtype)


def awq_scale(x_mean, ratio):
    """Scales that give salient channels a finer grid, as AWQ tries them for ratio = 0, 1/20, ..., 19/20.

    s = max(x_mean**ratio, 1e-4);  scale = s / sqrt(max(s) * min(s))

    Parameters
        x_mean: float32 (or float64), (channels,), the mean |x| of each channel; at least 0.
        ratio: 0..1; 0 scales nothing.
    Returns
        scale: dtype of x_mean, (channels,); largest times smallest is 1. w * scale is quantized, x / scale meets it.
    Raises
        GridError: a mean below 0, or ratio outside 0..1.
        NonFiniteError: a mean that is NaN or infinite.

    >>> awq_scale(np.float32([1, 16]), 0.5)
    array([0.5, 2. ], dtype=float32)

    Source: AWQ (2306.00978), section 3.2; normalisation and the limit of 1e-4: its program, as it was read.
    Spec: awq_scale
    """
    x_mean = arguments.maxima(x_mean, "x_mean")
    s = np.maximum(x_mean.astype(np.float64) ** arguments.share("ratio", ratio), SMALLEST_RATIO)
    return (s / (np.sqrt(s.max()) * np.sqrt(s.min()))).astype(x_mean.dtype)


def os_shift(minimum, maximum):
    """The middle of each channel.

    shift = (minimum + maximum) / 2

    Parameters
        minimum, maximum: float32 (or float64), (channels,), the ends of each channel; minimum <= maximum.
    Returns
        shift: the same dtype, (channels,); x - shift is as far from 0 on both sides.
    Raises
        GridError: minimum above maximum.
        NonFiniteError: an end that is NaN or infinite.

    >>> os_shift(np.float32([-1, 4]), np.float32([3, 4]))
    array([1., 4.], dtype=float32)

    Source: Outlier Suppression+ (2304.09145), channel-wise shifting.
    Spec: os_shift
    """
    minimum, maximum = arguments.ends(minimum, maximum)
    return minimum / 2 + maximum / 2  # their sum could overflow


def os_scale(minimum, maximum, threshold):
    """Scales that bring channels beyond a threshold down to it, and leave the others alone.

    scale = max(1, maximum / threshold, -minimum / threshold)

    Parameters
        minimum, maximum: as os_shift takes them; after the shift, where there is one.
        threshold: number, finite and above 0, in units of x.
    Returns
        scale: dtype of minimum, (channels,), 1 or more.
    Raises
        GridError: minimum above maximum, or a threshold that is not above 0 or too small for them.
        NonFiniteError: an end that is NaN or infinite.

    >>> os_scale(np.float32([-1, -8]), np.float32([1, 2]), 4)
    array([1., 2.], dtype=float32)

    Source: Outlier Suppression+ (2304.09145), channel-wise scaling.
    Spec: os_scale
    """
    minimum, maximum = arguments.ends(minimum, maximum)
    threshold = arguments.threshold(threshold, minimum)
    with np.errstate(over="ignore"):
        scale = np.maximum(np.maximum(maximum / threshold, -minimum / threshold), minimum.dtype.type(1))
    return arguments.no_overflow("a scale", scale)


def os_thresholds(maximum, floor=0.1):
    """Thresholds for os_scale: from the largest channel, which scales nothing, down to a floor.

    t[k] = T - k * (T - floor) / steps, k = 0 .. steps,  T = max(maximum),  steps = max(100, floor(T / 0.5))

    Parameters
        maximum: float32 (or float64), (channels,), the largest |x| of each channel; at most 2**20.
        floor: number, finite and above 0: 0.1 for LLaMA, 1.0 for OPT.
    Returns
        thresholds: dtype of maximum, descending; the floor alone if no channel exceeds it.
    Raises
        GridError: maximum or floor breaks its rule.
        NonFiniteError: maximum holds NaN or infinity.

    >>> os_thresholds(np.float32([3, 40]), 20)[:3]
    array([40. , 39.8, 39.6], dtype=float32)

    Source: the official program of Outlier Suppression+ (2304.09145), as it was read; both ends are our choice.
    Spec: os_thresholds
    """
    maximum = arguments.moderate_maxima(maximum)
    floor, top = np.float64(arguments.threshold(floor, maximum)), np.float64(maximum.max())
    if top <= floor:
        return np.array([floor], maximum.dtype)
    steps = max(100, int(top / 0.5))
    k = np.arange(steps + 1)
    return ((top * (steps - k) + floor * k) / steps).astype(maximum.dtype)
