"""What the laws of the smooth quantizers share: their formulas in float64, and what float32 may cost."""

import numpy as np

from tests.laws.operations import UNIT

EXP = 30  # roundings of a gate beside those of its argument


def sigmoid(t):
    e = np.exp(-np.abs(t))
    return np.where(t < 0, e, 1) / (1 + e)


def gates(x, low, high, beta):
    """(a, b) and (1 - a, 1 - b) in float64, and how many roundings each of the four may be off."""
    x, low, high = (np.asarray(v, np.float64) for v in (x, low, high))
    up, down = beta * (x - low), beta * (high - x)
    inner, outer = (sigmoid(up), sigmoid(down)), (sigmoid(-up), sigmoid(-down))
    off = [EXP + 4 * np.abs(t) * far for t, far in zip((up, down, up, down), (*outer, *inner), strict=True)]
    return inner, outer, off


def clamp(x, low, high, beta):
    """soft_clamp in float64, and how far two float32 results may lie apart."""
    (a, b), (not_a, not_b), (of_a, of_b, of_not_a, of_not_b) = gates(x, low, high, beta)
    y = x * a * b + low * not_a + high * not_b
    off = np.abs(x * a * b) * (of_a + of_b) + np.abs(low * not_a) * of_not_a + np.abs(high * not_b) * of_not_b
    return y, 2 * UNIT * off + 1e-37


def clamp_slopes(x, low, high, beta):
    """Derivatives of soft_clamp with respect to x, low and high, and how far float32 results may lie apart."""
    (a, b), (not_a, not_b), (of_a, of_b, of_not_a, of_not_b) = gates(x, low, high, beta)
    at_low, at_high = beta * a * not_a * (x * b - low), beta * b * not_b * (high - x * a)
    off_low = beta * a * not_a * (np.abs(x) * b + np.abs(low)) * (of_a + of_not_a + of_b)
    off_high = beta * b * not_b * (np.abs(x) * a + np.abs(high)) * (of_b + of_not_b + of_a)
    slopes = a * b + at_low + at_high, not_a - at_low, not_b - at_high
    off = a * b * (of_a + of_b) + off_low + off_high, not_a * of_not_a + off_low, not_b * of_not_b + off_high
    return slopes, [2 * UNIT * o + 1e-37 for o in off]


def stairs(x, sharpness, moved=0):
    """The slope of the staircase in float64, and how far it may be off where x is off by `moved`."""
    if sharpness == 0:
        return np.ones_like(x), np.zeros_like(x)
    u = x - np.floor(x) - 0.5
    s = sigmoid(sharpness * u)
    slope = sharpness * s * (1 - s)
    return slope, 2 * UNIT * (slope * (EXP + 4 * sharpness) + 4 * sharpness) + sharpness**2 / 10 * moved
