"""The grid of AIMET."""

import numpy as np

from refq import checks
from refq.grids.affine import integer_range
from refq.ranges.minmax import observed_range

SMALLEST = np.float32(2.0**-23)  # the smallest step: float32 epsilon


def aimet_range(groups, bits=4, symmetric=True):
    """Scale, zero point and code limits as AIMET computes them from the smallest and the largest value.

    symmetric: step = max(hi / 7, -lo / 8), scale = (7 step + 8 step) / 15    (4 bits)
    asymmetric: scale = (hi - lo) / 15, zero_point = -rint(lo / scale)

    Parameters
        groups: float32 (..., group_size), finite.
        bits: int, 2..8.
        symmetric: bool, codes -8..7 with zero point 0, or 0..15.
    Returns
        scale: float32 (..., 1), at least 2**-23.
        zero_point: int32 (..., 1).
        qmin, qmax: int.
    Raises
        GridError: the range of a group overflows.

    >>> aimet_range(np.float32([[-8.0, 3.5]]))
    (array([[1.]], dtype=float32), array([[0]], dtype=int32), -8, 7)

    Source: aimet-torch 2.42.0, min-max calibration, read and run.
    Spec: aimet_range
    """
    groups, bits = checks.preset_arguments(groups, bits)
    lo, hi = observed_range(groups)
    steps = 2**bits - 1
    with np.errstate(over="ignore"):
        lo, hi = _widened(lo, hi, steps, symmetric)
        if symmetric:
            lo, hi = _symmetric(lo, hi, bits)
        scale = np.maximum((hi - lo) / steps, SMALLEST)
    checks.range_width(scale)
    zero_point = np.zeros_like(lo) if symmetric else -np.rint(lo / scale)
    return scale, zero_point.astype(np.int32), *integer_range(bits, signed=symmetric)


def _widened(lo, hi, steps, symmetric):
    """A range too narrow for the smallest step gets one smallest step more for each of its steps."""
    extra = np.where((hi - lo) / steps < SMALLEST, SMALLEST, np.float32(0))
    if symmetric:
        return lo - (steps + 1) // 2 * extra, hi + steps // 2 * extra
    return lo, hi + steps * extra


def _symmetric(lo, hi, bits):
    """The range -8 step .. 7 step that holds lo and hi; with 2 bits hi may lie a step beyond the last code."""
    below, above = 2 ** (bits - 1), 2 ** (bits - 1) - 1
    step = np.maximum(hi / (above + (bits == 2)), -lo / below)
    return -below * step, above * step
