"""The loop around a training step: progress, a log, and checkpoints from which a killed run goes on."""

import math
from typing import NamedTuple

import numpy as np

from refq.errors import GridError, NonFiniteError
from refq.jobs.progress import progress, say
from refq.jobs.training_state import load_state, save_state

COLUMNS = ("step", "loss", "kl", "ce", "gradient_norm", "learning_rate", "transition_rate", "validation_perplexity")


class Loop(NamedTuple):
    """What a run does, beside where it stands.

    step: function (params, state, batch) -> (params, state, report), as kd_step.
    batch: function of the number of a step, from 0, to its batch.
    tokens: those of one step.
    steps, save_every, eval_every: numbers of steps; 0 for no evaluation.
    evaluate: function of params to a perplexity; None for no evaluation.
    """

    step: object
    batch: object
    tokens: int
    steps: int
    save_every: int = 50
    eval_every: int = 0
    evaluate: object = None


def train(room, loop, params):
    """Run a loop from its last checkpoint in `room`, or from `params`, to its end.

    Parameters
        room: directory; None for a run that keeps nothing on the disk.
    Returns
        params, state: after the last step.
        history: float64 (steps + 1, columns), a row a step; row 0 is the start, with its validation alone.
    Raises
        CheckpointError: a checkpoint that is damaged.
        NonFiniteError: a loss or gradient that is not finite; names the step.
    """
    known = None if room is None else load_state(room)
    params, state, history = known or (params, {}, [_row(0, None, _validation(loop, 0, params))])
    rows, done = list(history), state.get("step", 0)
    with progress((loop.steps - done) * loop.tokens, "tokens", "training") as advance:
        for number in range(done + 1, loop.steps + 1):
            params, state, row = _stepped(loop, params, state, number)
            rows.append(row)
            if room is not None and (number % loop.save_every == 0 or number == loop.steps):
                save_state(room, params, state, np.array(rows))
            advance(loop.tokens, _remark(rows, loop.steps))
    if done < loop.steps and rows[-1][1] > 2 * rows[1][1]:  # more than two batches differ by
        say(f"the loss rose from {rows[1][1]:.4g} to {rows[-1][1]:.4g}; a lower --lr may help")
    return params, state, np.array(rows)


def csv(history):
    """A log as text; what was not measured is empty."""
    lines = [",".join(COLUMNS)]
    lines += [
        ",".join("" if math.isnan(x) else repr(int(x)) if i == 0 else f"{x:.9g}" for i, x in enumerate(row))
        for row in history
    ]
    return "\n".join(lines) + "\n"


def _stepped(loop, params, state, number):
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused below
            params, state, report = loop.step(params, state, loop.batch(number - 1))
        if not math.isfinite(report["losses"]["loss"]):
            raise NonFiniteError(f"the loss is {report['losses']['loss']}")
        return params, state, _row(number, report, _validation(loop, number, params))
    except (NonFiniteError, GridError) as error:  # GridError: a scale that has left its range
        raise NonFiniteError(
            f"step {number}: {error}; the training has diverged, {_largest(params)}; a lower --lr or --scale-lr, more "
            "--warmup or a smaller --clip helps"
        ) from error


def _largest(params):
    """The parameter that has grown most, in words."""
    size = {name: np.abs(w).max(initial=0) for name, w in params.items() if w.dtype.kind == "f"}
    name = max(size, key=lambda name: np.nan_to_num(size[name], nan=np.inf))
    return f"{name} has grown to {size[name]:.3g}"


def _row(number, report, validation):
    if report is None:
        return [number, *[math.nan] * (len(COLUMNS) - 2), validation]
    losses = [report["losses"].get(name, math.nan) for name in ("loss", "kl", "ce")]
    rates = report["transitions"]["rate"]
    transition = sum(rates.values()) / len(rates) if rates else math.nan
    return [number, *losses, report["norm"], report["learning_rate"], transition, validation]


def _validation(loop, number, params):
    due = loop.evaluate and (number in (0, loop.steps) or (loop.eval_every and number % loop.eval_every == 0))
    return loop.evaluate(params) if due else math.nan


def _remark(rows, steps):
    known = [row[-1] for row in rows if not math.isnan(row[-1])]
    text = f"step {len(rows) - 1} of {steps}, loss {rows[-1][1]:.4f}"
    return f"{text}, validation perplexity {known[-1]:.4f}" if known else text
