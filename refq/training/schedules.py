"""Multipliers of the learning rate over a run: step 0..steps - 1 of it, after a linear warm-up."""

import math

from refq.training import arguments_optimizers as arguments


def cosine_schedule(step, steps, warmup=0):
    """From 1 down to 0 along half a cosine.

    (1 + cos(pi * (step - warmup) / (steps - warmup))) / 2 after the warm-up, step / warmup in it

    Parameters
        step: int, 0..steps; a run of `steps` steps takes 0..steps - 1.
        steps: int, at least 1.
        warmup: int, 0..steps; the steps of the warm-up.
    Returns
        multiplier: float, 0..1.
    Raises
        GridError: a number outside its range.

    >>> [round(cosine_schedule(step, 4), 3) for step in range(4)]
    [1.0, 0.854, 0.5, 0.146]

    Source: Loshchilov and Hutter 2017 (1608.03983), equation 5; get_cosine_schedule_with_warmup of transformers.
    Spec: cosine_schedule
    """
    step, steps, warmup = arguments.schedule(step, steps, warmup)
    if step < warmup:
        return step / warmup
    return (1 + math.cos(math.pi * _progress(step, steps, warmup))) / 2


def linear_schedule(step, steps, warmup=0):
    """From 1 down to 0 along a line.

    (steps - step) / (steps - warmup) after the warm-up, step / warmup in it

    Parameters
        step: int, 0..steps; a run of `steps` steps takes 0..steps - 1.
        steps: int, at least 1.
        warmup: int, 0..steps; the steps of the warm-up.
    Returns
        multiplier: float, 0..1.
    Raises
        GridError: a number outside its range.

    >>> [linear_schedule(step, 6, 2) for step in range(6)]
    [0.0, 0.5, 1.0, 0.75, 0.5, 0.25]

    Source: get_linear_schedule_with_warmup of transformers.
    Spec: linear_schedule
    """
    step, steps, warmup = arguments.schedule(step, steps, warmup)
    if step < warmup:
        return step / warmup
    return 1 - _progress(step, steps, warmup)


def step_schedule(step, steps, warmup=0, drops=(), factor=0.1):
    """Constant, times `factor` from each drop on.

    factor ** (number of drops <= step) after the warm-up, step / warmup in it

    Parameters
        step: int, 0..steps; a run of `steps` steps takes 0..steps - 1.
        steps: int, at least 1.
        warmup: int, 0..steps; the steps of the warm-up.
        drops: ints, 0..steps, the first steps of the lower rates.
        factor: number above 0.
    Returns
        multiplier: float, above 0 after the warm-up.
    Raises
        GridError: a number outside its range.

    >>> [step_schedule(step, 5, 0, (2, 4), 0.5) for step in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]

    Source: torch.optim.lr_scheduler.MultiStepLR; a warm-up before it is our choice.
    Spec: step_schedule
    """
    step, steps, warmup = arguments.schedule(step, steps, warmup)
    drops, factor = arguments.drops(drops, steps, factor)
    if step < warmup:
        return step / warmup
    return factor ** sum(drop <= step for drop in drops)


def _progress(step, steps, warmup):
    """The share of the way after the warm-up; 0 where the warm-up is the whole run."""
    return (step - warmup) / max(1, steps - warmup)
