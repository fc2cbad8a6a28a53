"""How signals pass through a model while it is trained: full precision, plain KD-QAT, and some projections frozen."""

import functools
import math
from typing import NamedTuple

import numpy as np

from refq.errors import UsageError
from refq.files.checkpoint import open_checkpoint
from refq.jobs.corpus import batch_at, open_texts
from refq.jobs.distill import Run, cut_texts, distill_model, memory_needed, start_student
from refq.jobs.distillation import recipe_of
from refq.jobs.input_grids import calibrated, plan_inputs
from refq.jobs.model import load_model
from refq.jobs.plan import plan_schemes
from refq.jobs.progress import say, size
from refq.jobs.teacher import taught
from refq.jobs.trainer import COLUMNS, Loop, train
from refq.training.student import projection_weights

CROSS_ENTROPY = {"ce": 1.0}  # what all three models can be asked, so that ratios mean something


class Signals(NamedTuple):
    """What was measured.

    steps: the steps after which the students were probed; 0 is the start.
    seeds: of the runs.
    full: what signal_propagation reports of the full-precision model, for cross-entropy.
    students: "plain" and "frozen" -> dict of arrays (seeds, probes, ...): the same of both students, "training_used",
        "training_trained" and "training_loss" for the loss that they are trained with, and "batch_loss" (seeds, steps),
        the loss of each training step's own batch.
    weights: numbers of weights, (layers, 7).
    probe: tokens that are predicted in the probe.
    """

    steps: list
    seeds: list
    full: dict
    students: dict
    weights: np.ndarray
    probe: int


def compare_signals(teacher, texts, engine, options, training, seeds=(0,), outs=None):
    """Train a student without and one with frozen projections, and probe both and their teacher on one batch.

    Parameters
        teacher: directory of a float model.
        texts: (path, path or None): a text to train on; and one whose start is the probe. Without it the end of the
            first is the probe, and is not trained on.
        engine: refq or refq_fast.
        options, training: as distill_model takes them; the second student freezes training.freeze. training.eval_every,
            at least 1, is the number of steps between two probes.
        seeds: of the order of the windows; two runs each.
        outs: "plain" and "frozen" -> the directory where distill_model shall write that student; for one seed and two
            texts alone. None: they are not kept.
    Returns
        Signals.
    Raises
        UsageError: settings that this model or text cannot take, or that leave nothing to compare.
        FileError: a model or text that is not as it should be.
        NonFiniteError: a training diverged; names the step.
    """
    if not training.freeze:
        raise UsageError("--freeze none: both students would be the same; name projections, as --freeze o,v does")
    if outs is not None and (texts[1] is None or len(seeds) != 1):
        raise UsageError("students are kept of one seed, and trained on the whole text: the probe needs another one")
    checkpoint = open_checkpoint(teacher)
    recipe = recipe_of(options, training)
    schemes = plan_inputs(plan_schemes(checkpoint, options), checkpoint.config, training)
    opened = [open_texts(checkpoint, (path, None)) for path in texts if path is not None]
    if outs is None:  # distill_model says it
        say(f"about {size(memory_needed(checkpoint, training, opened))} of memory are needed")
    tokens, probe = _cut(checkpoint, opened, training)
    model = load_model(teacher, engine)
    config, weights = model
    probe = _batch(*probe, model, recipe, training, engine)
    full = engine.signal_propagation(
        weights, probe, config, {"losses": CROSS_ENTROPY, "reduction": recipe["reduction"]}
    )
    runs = [(name, freeze, seed) for name, freeze in (("plain", ()), ("frozen", training.freeze)) for seed in seeds]
    measured = {"plain": [], "frozen": []}
    for number, (name, freeze, seed) in enumerate(runs, 1):
        say(f"run {number} of {len(runs)}: {f'{joined(freeze)} frozen' if freeze else 'nothing frozen'}, seed {seed}")
        settings = training._replace(seed=seed)
        if outs is not None:
            settings = options, settings._replace(freeze=freeze)
            measured[name].append(_kept((teacher, outs[name], texts[0]), probe, settings, config, engine))
            continue
        start = start_student(weights, schemes, options, recipe, freeze, engine)
        if training.activation_range == "tensor":
            start = calibrated(*start, tokens, settings, config, engine)
        measured[name].append(_run(start, model, (tokens, probe), settings, engine))
    steps = sorted({*range(0, training.steps, training.eval_every), training.steps})
    students = {name: {key: np.array([run[key] for run in runs]) for key in runs[0]} for name, runs in measured.items()}
    sizes = np.array([[weights[name].size for name in layer] for layer in projection_weights(config)])
    return Signals(steps, list(seeds), full, students, sizes, int(probe["mask"].sum()))


def joined(projections):
    """Names for a sentence.

    >>> joined(["o", "v"]), joined(["gate", "o", "v"])
    ('o and v', 'gate, o and v')
    """
    *rest, last = projections
    return f"{', '.join(rest)} and {last}" if rest else last


def _cut(checkpoint, texts, training):
    """Tokens to train on, and (tokens, targets) of the probe, (windows, context) each."""
    text, *other = texts
    tokens, context = cut_texts(checkpoint, text, training)[0], training.context
    length = training.batch * context + 1
    if other:
        probe = cut_texts(checkpoint, other[0], training)[0][:length]
    elif len(tokens) < length + 2 * context:
        raise UsageError(
            f"the text has {len(tokens)} tokens; {length} for the probe and at least {2 * context} to train on are "
            "needed; --val takes the probe from another text"
        )
    else:
        tokens, probe = tokens[:-length], tokens[-length:]
    at = np.arange((len(probe) - 1) // context)[:, None] * context + np.arange(context)
    return tokens, (probe[at], probe[at + 1])


def _batch(tokens, targets, model, recipe, training, engine):
    found = {"tokens": tokens, "targets": targets, "mask": np.ones(tokens.shape, bool)}
    return found | taught(engine, model, tokens, recipe, training.top_k)


def _run(student, model, texts, training, engine):
    """Train a student; the evaluations of the loop are the probes."""
    (params, recipe), (tokens, probe), seen = student, texts, []

    def batch(number):
        now, targets, _ = batch_at(tokens, number, training.batch, training.context, training.seed)
        return _batch(now, targets, model, recipe, training, engine)

    def evaluate(params):
        seen.append(_probed(params, recipe, probe, model[0], engine))
        return math.exp(min(seen[-1]["loss"], 700.0))  # beyond it float64 overflows

    step = functools.partial(engine.kd_step, config=model[0], recipe=recipe)
    loop = Loop(step, batch, training.batch * training.context, training.steps, evaluate=evaluate)
    _, _, history = train(None, loop._replace(eval_every=training.eval_every), params)
    return _series(seen, history)


def _kept(paths, probe, settings, config, engine):
    """Distil a student into its directory, probed on the way."""
    (teacher, out, text), (options, training), seen = paths, settings, []
    run = Run(watch=lambda params, recipe: seen.append(_probed(params, recipe, probe, config, engine)))
    return _series(seen, distill_model(teacher, out, (text, None), engine, options, training, run))


def _probed(params, recipe, probe, config, engine):
    report = engine.signal_propagation(params, probe, config, recipe | {"losses": CROSS_ENTROPY})
    own = engine.signal_propagation(params, probe, config, recipe)
    return report | {f"training_{key}": own[key] for key in ("used", "trained", "loss")}


def _series(seen, history):
    report = {key: np.array([found[key] for found in seen]) for key in seen[0]}
    return report | {"batch_loss": history[1:, COLUMNS.index("loss")]}
