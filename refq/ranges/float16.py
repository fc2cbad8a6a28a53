"""Scales that float16 can hold."""

import numpy as np

from refq import checks
from refq.errors import GridError

SMALLEST = 2.0**-24  # the smallest positive float16


def float16_scale(scale):
    """Scales rounded to numbers that float16 holds exactly, never to 0.

    stored = the nearest float16, ties to even; where that is 0, 2**-24 with the sign of scale

    Parameters
        scale: float32 (or float64), any shape, finite.
    Returns
        stored: dtype and shape of scale, every value exact in float16, never 0.
    Raises
        GridError: a scale of 65520 or more in size, which float16 rounds to infinity.
        NonFiniteError: scale holds NaN or infinity.

    >>> float16_scale(np.float32([2049.0, 0.5]))
    array([2.048e+03, 5.000e-01], dtype=float32)

    Source: IEEE 754 binary16; the treatment of 0 and infinity is our choice.
    Spec: float16_scale
    """
    scale = checks.finite("scale", checks.as_float("scale", scale))
    if scale.size and (largest := max(scale.max(), -scale.min())) >= 65520:
        raise GridError(f"a scale of {largest} is infinite in float16; below 65520 is needed")
    half = scale.astype(np.float16).astype(scale.dtype)
    return np.where(half == 0, np.copysign(scale.dtype.type(SMALLEST), scale), half)
