"""Transforms in exact rationals, rounded where SPEC.md says so."""

import math

from tools.oracle.numbers import Array, rounded


def channel_splits(maximum, threshold):
    step = rounded(threshold, maximum.dtype)
    return Array("int32", maximum.shape, [max(1, math.ceil(m / step)) for m in maximum.data])
