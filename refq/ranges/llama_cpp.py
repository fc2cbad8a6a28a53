"""The grids of the simple block formats of llama.cpp (GGUF)."""

import numpy as np

from refq import checks


def q4_0_range(groups):
    """Scale, zero point and code limits of llama.cpp's Q4_0.

    scale = m / -8, zero_point = 8; m is the first value of the largest magnitude, with its sign

    Parameters
        groups: float32 (..., group_size), finite; a block of the file has 32 values.
    Returns
        scale: float32 (..., 1), before its rounding to float16; below 0 where m is above 0; 0 for a group of zeros.
        zero_point: int32 (..., 1), always 8.
        qmin, qmax: 0, 15.

    >>> q4_0_range(np.float32([[3.0, -8.0, 8.0]]))
    (array([[1.]], dtype=float32), array([[8]], dtype=int32), 0, 15)

    Source: ggml, quantize_row_q4_0_ref, read and run (llama-cpp-python 0.3.36).
    Spec: q4_0_range
    """
    groups, _ = checks.preset_arguments(groups, bits=4)
    first = np.abs(groups).argmax(axis=-1, keepdims=True)
    scale = np.take_along_axis(groups, first, axis=-1) / -8
    return scale, np.full(scale.shape, 8, np.int32), 0, 15


def q4_1_range(groups):
    """Scale, minimum and code limits of llama.cpp's Q4_1: real = scale * code + minimum.

    scale = (max - min) / 15, minimum = min

    Parameters
        groups: float32 (..., group_size), finite; a block of the file has 32 values.
    Returns
        scale: float32 (..., 1), before its rounding to float16; 0 for a constant group.
        minimum: float32 (..., 1), before its rounding to float16; the real number of code 0.
        qmin, qmax: 0, 15.
    Raises
        GridError: the range of a group overflows.

    >>> q4_1_range(np.float32([[2.0, 17.0]]))
    (array([[1.]], dtype=float32), array([[2.]], dtype=float32), 0, 15)

    Source: ggml, quantize_row_q4_1_ref, read and run (llama-cpp-python 0.3.36).
    Spec: q4_1_range
    """
    groups, _ = checks.preset_arguments(groups, bits=4)
    minimum = groups.min(axis=-1, keepdims=True)
    with np.errstate(over="ignore"):
        scale = (groups.max(axis=-1, keepdims=True) - minimum) / 15
    checks.range_width(scale)
    return scale, minimum, 0, 15


def q8_0_range(groups):
    """Scale, zero point and code limits of llama.cpp's Q8_0.

    scale = max |x| / 127, zero_point = 0

    Parameters
        groups: float32 (..., group_size), finite; a block of the file has 32 values.
    Returns
        scale: float32 (..., 1), before its rounding to float16; 0 for a group of zeros.
        zero_point: int32 (..., 1), always 0.
        qmin, qmax: -127, 127.

    >>> q8_0_range(np.float32([[-127.0, 3.0]]))
    (array([[1.]], dtype=float32), array([[0]], dtype=int32), -127, 127)

    Source: ggml, quantize_row_q8_0_ref, read and run (llama-cpp-python 0.3.36).
    Spec: q8_0_range
    """
    groups, _ = checks.preset_arguments(groups, bits=8)
    scale = np.abs(groups).max(axis=-1, keepdims=True) / 127
    return scale, np.zeros(scale.shape, np.int32), -127, 127
