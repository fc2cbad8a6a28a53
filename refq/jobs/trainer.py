"""The loop around a training step: progress, a log, and checkpoints from which a killed run goes on."""

import math
from typing import NamedTuple

import numpy as np

from refq.errors import GridError, NonFiniteError
from refq.jobs.progress import progress, say
from refq.jobs.training_state import load_state, save_state

COLUMNS = ("step", "loss", "kl", "ce", "gradient_norm", "learning_rate", "transition_rate", "validation_perplexity")


def _distilled(report):
    """What a row says of a step of kd_step, between its number and its validation."""
    losses = [report["losses"].get(name, math.nan) for name in ("loss", "kl", "ce")]
    rates = report["transitions"]["rate"]
    transition = sum(rates.values()) / len(rates) if rates else math.nan
    return [*losses, report["norm"], report["learning_rate"], transition]


class Log(NamedTuple):
    """What a run says of itself.

    columns: names of the figures of a step: its number, its loss, some more, and its validation.
    figures: function of a step's report to those between the first and the last.
    unit: what `tokens` of Loop counts.
    advice: what may help against divergence.
    """

    columns: tuple = COLUMNS
    figures: object = _distilled
    unit: str = "tokens"
    advice: str = "a lower --lr or --scale-lr, more --warmup or a smaller --clip helps"


class Loop(NamedTuple):
    """What a run does, beside where it stands.

    step: function (params, state, batch) -> (params, state, report), as kd_step.
    batch: function of the number of a step, from 0, to its batch.
    tokens: those of one step; or its items, where the log counts these.
    steps, save_every, eval_every: numbers of steps; 0 for no evaluation.
    evaluate: function of params to a figure, a perplexity; None for no evaluation.
    log: Log.
    """

    step: object
    batch: object
    tokens: int
    steps: int
    save_every: int = 50
    eval_every: int = 0
    evaluate: object = None
    log: Log = Log()


def train(room, loop, params):
    """Run a loop from its last checkpoint in `room`, or from `params`, to its end.

    Parameters
        room: directory; None for a run that keeps nothing on the disk.
    Returns
        params, state: after the last step.
        history: float64 (steps + 1, columns), a row a step; row 0 is the start, with its validation alone.
    Raises
        CheckpointError: a checkpoint that is damaged.
        NonFiniteError: a loss or gradient that is not finite, or a scale that training took out of its range; names
            the step.
        GridError: settings that the first step refuses.
    """
    known = None if room is None else load_state(room)
    params, state, history = known or (params, {}, [_row(loop, 0, None, params)])
    rows, done = list(history), state.get("step", 0)
    with progress((loop.steps - done) * loop.tokens, loop.log.unit, "training") as advance:
        for number in range(done + 1, loop.steps + 1):
            params, state, row = _stepped(loop, params, state, number)
            rows.append(row)
            if room is not None and (number % loop.save_every == 0 or number == loop.steps):
                save_state(room, params, state, np.array(rows))
            advance(loop.tokens, _remark(rows, loop))
    if done < loop.steps and rows[-1][1] > 2 * rows[1][1]:  # more than two batches differ by
        say(f"the loss rose from {rows[1][1]:.4g} to {rows[-1][1]:.4g}; a lower --lr may help")
    return params, state, np.array(rows)


def csv(history, columns=COLUMNS):
    """A log as text; what was not measured is empty."""
    lines = [",".join(columns)]
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
        return params, state, _row(loop, number, report, params)
    except (NonFiniteError, GridError) as error:
        if isinstance(error, GridError) and not state:  # nothing has been trained: the settings are at fault
            raise
        raise NonFiniteError(
            f"step {number}: {error}; the training has diverged, {_largest(params)}; {loop.log.advice}"
        ) from error


def _largest(params):
    """The parameter that has grown most, in words."""
    size = {name: np.abs(w).max(initial=0) for name, w in params.items() if w.dtype.kind == "f"}
    name = max(size, key=lambda name: np.nan_to_num(size[name], nan=np.inf))
    return f"{name} has grown to {size[name]:.3g}"


def _row(loop, number, report, params):
    unknown = [math.nan] * (len(loop.log.columns) - 2)
    return [number, *(unknown if report is None else loop.log.figures(report)), _validation(loop, number, params)]


def _validation(loop, number, params):
    due = loop.evaluate and (number in (0, loop.steps) or (loop.eval_every and number % loop.eval_every == 0))
    return loop.evaluate(params) if due else math.nan


def _remark(rows, loop):
    known = [row[-1] for row in rows if not math.isnan(row[-1])]
    text = f"step {len(rows) - 1} of {loop.steps}, loss {rows[-1][1]:.4f}"
    return f"{text}, {loop.log.columns[-1].replace('_', ' ')} {known[-1]:.4f}" if known else text
