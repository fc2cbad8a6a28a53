"""LLM.int8(): a product of 8-bit codes, and beside it one of floats for the few inputs with outliers."""

import math

import numpy as np

from refq.ops import arguments

SMALLEST = 2.0**-100  # largest number of a vector, from which on it has codes: 127 / a must not overflow


def llm_int8_matmul(x, q, scale, threshold, weight=None):
    """x times the transpose of a matrix of 8-bit codes; inputs with outliers are multiplied as floats.

    y = sum over usual inputs of code(x) * q, times the steps of both;  plus sum over outlier inputs of x * w

    Parameters
        x: float32 (or float64) (..., in), finite.
        q: integer codes (out, in), -128..127.
        scale: dtype of x (out, 1), a step a row of q; finite, not 0.
        threshold: float above 0, infinite for no outliers; an input has outliers if |x| reaches it in any vector.
        weight: dtype of x (out, in), what inputs with outliers are multiplied by; None for q * scale.
    Returns
        y: dtype of x (..., out).
    Raises
        GridError: a code, a scale or the threshold breaks its rule.
        NonFiniteError: x holds NaN or infinity.
        ShapeError: shapes that do not fit each other.

    >>> llm_int8_matmul(np.float32([[1, 10]]), np.int8([[127, 2]]), np.float32([[0.5]]), 6.0)
    array([[73.5]], dtype=float32)

    Source: LLM.int8() (2208.07339), section 3; arithmetic and outliers as in bitsandbytes 0.50.2, in float32.
    Spec: llm_int8_matmul
    """
    x, q, scale, threshold, weight = arguments.llm_int8_matmul(x, q, scale, threshold, weight)
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    codes, steps, outlier = vector_codes(rows, threshold)
    sums = (codes.astype(np.float64) @ q.T).astype(x.dtype)  # whole numbers below 2**53: exact
    y = sums * (steps * scale.T) + rows[:, outlier] @ outlier_weight(q, scale, weight, outlier).T
    return y.reshape(*x.shape[:-1], len(q))


def vector_codes(rows, threshold):
    """Codes (n, in), 0 for inputs with outliers; the step of each vector (n, 1); which inputs have outliers (in,)."""
    large = np.abs(rows) >= threshold
    reach = np.where(large, 0, np.abs(rows)).max(axis=1, keepdims=True, initial=rows.dtype.type(SMALLEST))
    outlier = large.any(axis=0)
    codes = np.rint(np.where(outlier, 0, rows) * (127 / reach)).astype(np.int32)
    return codes, reach / 127, outlier


def outlier_weight(q, scale, weight, outlier):
    """The columns of w that meet outliers."""
    return q[:, outlier].astype(scale.dtype) * scale if weight is None else weight[:, outlier]
