"""LTS, the lottery-ticket scratcher: weights that have settled near a level are frozen there."""

import math

import numpy as np

from refq import checks
from refq.training import arguments_transitions as arguments

NOTHING = -1.0  # below every distance


def lts_distance(distance, position, q, previous, momentum=0.99):
    """The running distance of each weight from its level, in steps of the grid.

    distance = momentum * distance + (1 - momentum) * |position - q|;  1 where q != previous

    Parameters
        distance: float32 (or float64), shape of position: the result of the step before; None before the first.
        position: float32 (or float64), x / scale + zero_point: not rounded, not clipped; finite.
        q: integer codes of this step, shape of position.
        previous: integer codes of the step before, shape of position; before the first step q itself.
        momentum: number, 0 <= momentum < 1.
    Returns
        distance: dtype and shape of position.
    Raises
        GridError: momentum outside its range.
        NonFiniteError: position holds NaN or infinity.
        ShapeError: shapes that differ.

    >>> lts_distance(np.float32([0.5, 0.5]), np.float32([3.25, 0.75]), np.int32([3, 1]), np.int32([3, 0]), 0.5)
    array([0.375, 1.   ], dtype=float32)

    Source: lottery-ticket scratcher (2211.08544), its code (read), which measures in widths of the range, not in steps.
    Spec: lts_distance
    """
    distance, position, q, previous, momentum = arguments.distance(distance, position, q, previous, momentum)
    now = np.abs(position - q.astype(position.dtype))
    if distance is not None:
        now = momentum * distance + (1 - momentum) * now
    return np.where(q != previous, position.dtype.type(1), now)


def lts_threshold(step, steps, warmup=0, growth="linear", final=1.0):
    """The distance, in steps of the grid, up to which a weight counts as settled.

    constant: final;  linear: final * p;  sine: final * sin(pi / 2 * p);  p = (step - warmup) / (steps - warmup)
    in the warm-up: -1, which is below every distance

    Parameters
        step: int, 0..steps; a run of `steps` steps takes 0..steps - 1.
        steps: int, at least 1.
        warmup: int, 0..steps; nothing freezes in it.
        growth: "constant", "linear" or "sine".
        final: number, at least 0; the threshold at the end.
    Returns
        threshold: float.
    Raises
        GridError: a number outside its range, or another growth.

    >>> [lts_threshold(step, 6, 2) for step in range(7)]
    [-1.0, -1.0, 0.0, 0.25, 0.5, 0.75, 1.0]

    Source: 2211.08544, its code (read); -1 is our choice.
    Spec: lts_threshold
    """
    step, steps, warmup, final = arguments.threshold(step, steps, warmup, growth, final)
    if step < warmup:
        return NOTHING
    p = (step - warmup) / max(1, steps - warmup)
    return final * {"constant": 1.0, "linear": p, "sine": math.sin(math.pi / 2 * p)}[growth]


def lts_freeze(frozen, distance, threshold):
    """Which weights are frozen: those that were, and those that have settled.

    frozen = frozen or distance <= threshold

    Parameters
        frozen: bool, any shape; all False before the first step.
        distance: float32 (or float64), shape of frozen.
        threshold: number.
    Returns
        frozen: bool.
    Raises
        ShapeError: shapes that differ.

    >>> lts_freeze(np.array([True, False, False]), np.float32([0.9, 0.5, 0.1]), 0.25)
    array([ True, False,  True])

    Source: 2211.08544, its code (read).
    Spec: lts_freeze
    """
    distance = checks.as_float("distance", distance)
    frozen = arguments.marks("frozen", frozen, distance.shape)
    return frozen | (distance <= arguments.number("threshold", threshold))


def lts_hold(w, before, frozen):
    """The weights after an optimizer's step, the frozen ones put back.

    w = before where frozen, else w

    Parameters
        w: float32 (or float64), any shape: the weights after the step.
        before: dtype and shape of w: the weights before it.
        frozen: bool, shape of w.
    Returns
        w: dtype and shape of w.
    Raises
        ShapeError: shapes that differ.

    >>> lts_hold(np.float32([1, 2]), np.float32([3, 4]), np.array([True, False]))
    array([3., 2.], dtype=float32)

    Source: 2211.08544, its code (read).
    Spec: lts_hold
    """
    w = checks.as_float("w", w)
    before = checks.same_shape("before", checks.as_float_like("before", before, w), "w", w.shape)
    return np.where(arguments.marks("frozen", frozen, w.shape), before, w)
