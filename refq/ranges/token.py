"""Activations to codes: a grid of each token's own."""

import numpy as np

from refq import checks
from refq.errors import GridError
from refq.grids.affine import integer_range, quantize
from refq.ranges import arguments
from refq.ranges.minmax import minmax

NARROW, FAR = 1e-5, 1e4  # smallest step, and farthest zero point from the lowest code, of QLLM's program


def token_quantize(x, bits, symmetric=False, zero=True):
    """Codes of each token on its own min-max grid, and that grid.

    q = quantize(x, *minmax(x)),  one scale and zero point for each vector along the last axis

    Parameters
        x: float32 (or float64) (..., D), finite.
        bits: int, 2..16; codes -2**(bits-1) .. 2**(bits-1) - 1.
        symmetric: bool, real 0 in the middle of the grid.
        zero: bool, the range is stretched to hold 0; if not, as QLLM's program has it, the scale is at least 1e-5 and
            the zero point at most 10,000 from the lowest code.
    Returns
        q: int32, shape of x.
        scale: dtype of x, (..., 1), above 0.
        zero_point: int32 (..., 1), on the grid where zero is True.
    Raises
        GridError: bits outside 2..16; symmetric without zero; or a range that overflows.
        ShapeError: x has no axis, or nothing on the last one.
        NonFiniteError: x holds NaN or infinity.

    >>> token_quantize(np.float32([[-5, 9.6, 10]]), 4)
    (array([[-8,  7,  7]], dtype=int32), array([[1.]], dtype=float32), array([[-3]], dtype=int32))

    Source: QLLM (2310.08041), per token, asymmetric, min-max; zero=False: its program, codes moved by 2**(bits-1).
    Spec: token_quantize
    """
    x = arguments.tokens(x)
    scale, zero_point, *limits = token_grid(x, bits, symmetric, zero)
    return quantize(x, scale, zero_point, *limits), scale, zero_point


def token_grid(x, bits, symmetric, zero=True):
    """Scale and zero point (..., 1), and the code limits."""
    qmin, qmax = integer_range(bits)
    if zero:
        return *minmax(x, qmin, qmax, symmetric), qmin, qmax
    if symmetric:
        raise GridError("symmetric=True with zero=False; a symmetric grid has 0 in its middle")
    real, lo, hi = x.dtype.type, x.min(axis=-1, keepdims=True), x.max(axis=-1, keepdims=True)
    with np.errstate(over="ignore"):
        scale = np.maximum((hi - lo) / real(qmax - qmin), real(NARROW))
        offset = np.rint(np.clip(-lo / scale, real(-FAR), real(FAR)))
    checks.range_width(scale)
    return scale, offset.astype(np.int32) + np.int32(qmin), qmin, qmax
