"""How far a quantized layer is from its original: three sums, and the figures made of them."""

import math

import numpy as np

WIDEST = {"bits_per_weight": -1.23456e-300, "sqnr_db": -1.23456e-300, "max_error": -1.23456e-300}  # longest as JSON
EXACT = 0.0, 0.0, 0.0  # the `sums` of a piece that is stored as it was


def sums(x, x_hat):
    """(sum of x**2, sum of (x - x_hat)**2, largest |x - x_hat|) of two float32 arrays; the sums in float64."""
    error = x - x_hat
    signal, noise = (float(np.square(v, dtype=np.float64).sum()) for v in (x, error))
    return signal, noise, max(float(error.max()), -float(error.min()))


def error_figures(parts):
    """SQNR in dB and largest error of a tensor whose pieces gave these `sums`; None where infinite.

    Six digits: what is left is a function of the weights, not of the processor.

    >>> error_figures([(50.0, 1.0, 0.5), (50.0, 0.0, 0.0)])
    {'sqnr_db': 20.0, 'max_error': 0.5}
    """
    signal, noise, largest = (f(column) for f, column in zip((sum, sum, max), zip(*parts, strict=True), strict=True))
    sqnr = 10 * math.log10(signal / noise) if signal and 0 < noise < math.inf else None
    found = {"sqnr_db": sqnr, "max_error": None if largest == math.inf else largest}
    return {name: None if value is None else six_digits(value) for name, value in found.items()}


def six_digits(value):
    """A float with six significant digits."""
    return float(f"{value:.6g}")
