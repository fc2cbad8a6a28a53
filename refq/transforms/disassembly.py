"""QLLM's channel disassembly: how often the channels with outliers are split."""

import numpy as np

from refq.transforms import arguments


def channel_splits(maximum, threshold):
    """Number of channels that each channel is split into, so that none exceeds the threshold.

    counts = max(1, ceil(maximum / threshold))

    Parameters
        maximum: float32 (or float64), (channels,), the largest |x| of each channel; finite, at least 0.
        threshold: number, finite and above 0, in units of x.
    Returns
        counts: int32, (channels,), 1 or more: x / counts stands counts times, its weight unchanged.
    Raises
        GridError: a maximum below 0, a threshold that is not above 0, or a channel split more than 2**20 times.
        NonFiniteError: maximum holds NaN or infinity.

    >>> channel_splits(np.float32([1, 2, 12]), 5)
    array([1, 1, 3], dtype=int32)

    Source: QLLM (2310.08041), channel disassembly; in float64: our choice.
    Spec: channel_splits
    """
    maximum = arguments.maxima(maximum)
    threshold = arguments.threshold(threshold, maximum)
    return arguments.splits(split_counts(maximum, threshold))


def split_counts(maximum, threshold):
    """The same as whole float64 numbers, for arguments that are in order."""
    return np.maximum(np.ceil(maximum.astype(np.float64) / np.float64(threshold)), 1)
