"""Transition rates: how many codes change a step, how many should, and the learning rate that brings them together."""

import math

import numpy as np

from refq import checks
from refq.training import arguments_transitions as arguments
from refq.training.arguments_optimizers import at_least_0, below_1
from refq.training.schedules import cosine_schedule, step_schedule


def transition_rate(q, previous):
    """The share of the codes that differ from those of the step before.

    rate = count(q != previous) / count(q)

    Parameters
        q, previous: integer codes of one shape.
    Returns
        rate: float, 0..1; 0 where there are no codes.
    Raises
        ShapeError: shapes that differ.

    >>> transition_rate(np.int32([0, 1, 0, 2]), np.int32([0, 1, -1, 2]))
    0.25

    Source: Scheduling Weight Transitions (2404.19248), section 3 (read): on codes, not on dequantized weights.
    Spec: transition_rate
    """
    q, previous = arguments.codes(q, previous)
    return float(np.count_nonzero(q != previous) / max(1, q.size))


def running_rate(running, rate, momentum=0.99):
    """The running average of the transition rate.

    running = momentum * running + (1 - momentum) * rate

    Parameters
        running: number, 0..1, the average before; 0 before the first step.
        rate: number, 0..1, the transition rate of this step.
        momentum: number, 0 <= momentum < 1.
    Returns
        running: float, 0..1.
    Raises
        GridError: a number outside its range.

    >>> running_rate(0.5, 0.25, 0.5)
    0.375

    Source: 2404.19248, section 3 (read); 0.99 from summaries of its supplement, the start at 0 inferred.
    Spec: running_rate
    """
    running, rate = arguments.share("running", running), arguments.share("rate", rate)
    momentum = below_1("momentum", momentum)
    return momentum * running + (1 - momentum) * rate


def initial_target(bits, strength=5e-3):
    """The transition rate to aim at in the beginning.

    target = strength * sqrt(bits)

    Parameters
        bits: int, 1..16, width of the weights.
        strength: number, at least 0.
    Returns
        target: float, at least 0.
    Raises
        GridError: a number outside its range.

    >>> initial_target(4, 0.25)
    0.5

    Source: summaries of the supplement of 2404.19248; figure 1 of the paper agrees.
    Spec: initial_target
    """
    bits = checks.bit_width(bits, 1, 16)
    return at_least_0("strength", strength) * math.sqrt(bits)


def target_rate(initial, step, steps):
    """The transition rate to aim at, from `initial` down to 0 along half a cosine.

    target = initial * (1 + cos(pi * step / steps)) / 2

    Parameters
        initial: number, at least 0.
        step: int, 0..steps; a run of `steps` steps takes 0..steps - 1.
        steps: int, at least 1.
    Returns
        target: float, 0..initial.
    Raises
        GridError: a number outside its range.

    >>> target_rate(0.5, 0, 10), target_rate(0.5, 10, 10)
    (0.5, 0.0)

    Source: 2404.19248, section 3 and figure 1 (read).
    Spec: target_rate
    """
    return at_least_0("initial", initial) * cosine_schedule(step, steps)


def target_rate_steps(initial, step, steps, drops, factor=0.1):
    """The transition rate to aim at, constant between drops.

    target = initial * factor ** (number of drops <= step)

    Parameters
        initial: number, at least 0.
        step: int, 0..steps; a run of `steps` steps takes 0..steps - 1.
        steps: int, at least 1.
        drops: ints, 0..steps, the first steps of the lower targets.
        factor: number above 0.
    Returns
        target: float, at least 0.
    Raises
        GridError: a number outside its range.

    >>> [target_rate_steps(0.5, step, 3, (1, 2), 0.5) for step in range(3)]
    [0.5, 0.25, 0.125]

    Source: 2404.19248, the ablation with a step schedule (summaries); the drops and the factor are our choice.
    Spec: target_rate_steps
    """
    return at_least_0("initial", initial) * step_schedule(step, steps, 0, drops, factor)


def talr_additive(learning_rate, target, running, eta):
    """The transition-adaptive learning rate: a controller that integrates the error.

    learning_rate = max(0, learning_rate + eta * (target - running))

    Parameters
        learning_rate: number, at least 0, of the step before.
        target: number, at least 0.
        running: number, 0..1, the running transition rate.
        eta: number, at least 0; the paper takes the first learning rate.
    Returns
        learning_rate: float, at least 0.
    Raises
        GridError: a number outside its range.

    >>> talr_additive(0.5, 0.5, 0.25, 1.0)
    0.75

    Source: 2404.19248, section 3 (read).
    Spec: talr_additive
    """
    rate, target, running = arguments.controller(learning_rate, target, running)
    return max(0.0, rate + at_least_0("eta", eta) * (target - running))


def talr_multiplicative(learning_rate, target, running):
    """The transition-adaptive learning rate by proportion.

    learning_rate = learning_rate * target / running, unchanged where running is 0

    Parameters
        learning_rate: number, at least 0, of the step before.
        target: number, at least 0.
        running: number, 0..1, the running transition rate.
    Returns
        learning_rate: float, at least 0.
    Raises
        GridError: a number outside its range.

    >>> talr_multiplicative(0.5, 0.5, 0.25)
    1.0

    Source: summaries of the supplement of 2404.19248, section S3.2; what happens at 0 is our choice.
    Spec: talr_multiplicative
    """
    rate, target, running = arguments.controller(learning_rate, target, running)
    return rate * (target / running if running else 1.0)


def talr_momentum(learning_rate, target, running, momentum=0.99):
    """The transition-adaptive learning rate by proportion, a little a step.

    learning_rate = momentum * learning_rate + (1 - momentum) * learning_rate * target / running

    Parameters
        learning_rate: number, at least 0, of the step before.
        target: number, at least 0.
        running: number, 0..1, the running transition rate.
        momentum: number, 0 <= momentum < 1.
    Returns
        learning_rate: float, at least 0.
    Raises
        GridError: a number outside its range.

    >>> talr_momentum(0.5, 0.5, 0.25, 0.5)
    0.75

    Source: summaries of the supplement of 2404.19248, section S3.2; what happens at 0 is our choice.
    Spec: talr_momentum
    """
    rate, momentum = at_least_0("learning_rate", learning_rate), below_1("momentum", momentum)
    return momentum * rate + (1 - momentum) * talr_multiplicative(rate, target, running)
