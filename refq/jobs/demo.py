"""The story of ov-freeze on the model of the package: quantized, distilled, distilled with o and v frozen, compared."""

import os
import re
from typing import NamedTuple

import refq.world
from refq.errors import UsageError
from refq.jobs import output
from refq.jobs.distillation import Distillation
from refq.jobs.evaluate import evaluate_model
from refq.jobs.perplexity import perplexity
from refq.jobs.plan import Options
from refq.jobs.progress import say
from refq.jobs.quantize import quantize_model
from refq.jobs.signal import compare_signals
from refq.jobs.signal_figures import figures
from refq.jobs.text import SEPARATOR
from refq.world.stories import story

WORLD = os.path.dirname(refq.world.__file__)
MARK = "# What refq demo did\n"  # the first line of README.md: a demo may be replaced by the next one
OURS = re.compile(r"README\.md|text|w\d-(ptq|kd-qat|ov-freeze)|signal-w\d\.(csv|html)")
SEED, FIRST, HELD_OUT = 1, 2**41, 2**42  # of stories: the model was trained on others, see refq.jobs.pretrain


class Plan(NamedTuple):
    """How much a demo does.

    model, task: directory of the float model; path of the questions.
    stories: how many are trained on, and how many perplexity and gradients are measured on.
    training: bits of a student -> Distillation; its eval_every is the number of steps between two probes of gradients.
    """

    model: str
    task: str
    stories: tuple
    training: dict


PLAN = Plan(
    model=os.path.join(WORLD, "model"),
    task=os.path.join(WORLD, "commonsense.jsonl"),
    stories=(2000, 150),
    training={
        4: Distillation(steps=60, batch=8, lr=1e-4, scale_lr=1e-5, eval_every=20),
        2: Distillation(steps=120, batch=8, lr=2e-3, scale_lr=2e-4, eval_every=20),
    },
)


def run_demo(out, engine, plan, describe):
    """Quantize the model, train its low-bit copies without and with frozen projections, and measure all of them.

    Parameters
        out: a directory that does not exist yet, or of an earlier demo, which is replaced at the end. It will hold
            `text/train.txt` and `text/valid.txt`, the models `w4-ptq`, `w4-kd-qat`, `w4-ov-freeze` and so on for all
            widths, and what `describe` gives.
        engine: refq or refq_fast.
        plan: Plan.
        describe: function of the report and of bits -> Signals to a dict, file name -> text.
    Returns
        dict: "results", a list of dicts: name, bits, bytes (of model.safetensors), and what `perplexity` with the
            original beside and `evaluate_model` report; "gradients", bits -> what `figures` reports.
    Raises
        UsageError: out exists, and not all in it is of a demo; or cannot be made.
    """
    target = os.path.abspath(out)
    _check(target, out)
    with output.claim(target) as room:
        output.clear(room)  # what a killed demo has left
        try:
            made = os.path.join(room, "model")
            report, signals = _measured(made, engine, plan)
            files = describe(report, signals)
            for name, text in (files | {"README.md": MARK + files["README.md"]}).items():
                output.write_file(os.path.join(made, name), text.encode())
            _check(target, out)
            output.publish(room, target, replace=True)
        except BaseException:
            output.clear(room)
            raise
    return report


def grid(bits):
    """One scale an output."""
    return Options(bits=bits, group_size="channel")


def write_texts(directory, counts):
    """Stories to train on, divided as distill reads them, and others with `<s>` between them, as the model does."""
    os.makedirs(directory)
    for name, first, count, between in (
        ("train.txt", FIRST, counts[0], f"\n{SEPARATOR}\n"),
        ("valid.txt", HELD_OUT, counts[1], "<s>"),
    ):
        text = between.join(story(SEED, first + n) for n in range(count))
        output.write_file(os.path.join(directory, name), text.encode())
    return os.path.join(directory, "train.txt"), os.path.join(directory, "valid.txt")


def _check(target, out):
    if not os.path.isdir(os.path.dirname(target)):
        raise UsageError(f"--out {out}: the directory {os.path.dirname(target)} does not exist")
    if os.path.lexists(target) and not _is_ours(target):
        raise UsageError(f"{out} exists, and not all in it is of a demo; name another directory with --out")


def _is_ours(out):
    """Whether a demo made `out`, and nothing was added."""
    if os.path.islink(out) or not os.path.isdir(out) or not all(map(OURS.fullmatch, os.listdir(out))):
        return False
    try:
        with open(os.path.join(out, "README.md"), encoding="utf-8") as file:
            return file.readline() == MARK
    except (OSError, ValueError):
        return False


def _measured(folder, engine, plan):
    texts, signals, models = write_texts(os.path.join(folder, "text"), plan.stories), {}, {"original": (16, plan.model)}
    for bits, training in plan.training.items():
        names = {kind: f"w{bits}-{kind}" for kind in ("ptq", "kd-qat", "ov-freeze")}
        paths = {kind: os.path.join(folder, name) for kind, name in names.items()}
        say(f"{bits} bits: quantizing, then training twice")
        quantize_model(plan.model, paths["ptq"], engine, grid(bits))
        outs = {"plain": paths["kd-qat"], "frozen": paths["ov-freeze"]}
        signals[bits] = compare_signals(plan.model, texts, engine, grid(bits), training, outs=outs)
        models |= {names[kind]: (bits, paths[kind]) for kind in names}
    results = []
    for number, (name, (bits, path)) in enumerate(models.items(), 1):
        say(f"model {number} of {len(models)}: {name}")
        results.append({"name": name, "bits": bits} | _scores(path, texts[1], engine, plan))
    gradients = {bits: figures(found, plan.training[bits].freeze) for bits, found in signals.items()}
    return {"results": results, "gradients": gradients}, signals


def _scores(path, text, engine, plan):
    scores = {"bytes": os.path.getsize(os.path.join(path, "model.safetensors"))}
    scores |= perplexity(path, text, engine, original=plan.model)
    return scores | evaluate_model(path, plan.task, engine)
