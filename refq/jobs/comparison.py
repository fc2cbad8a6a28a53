"""Which methods at which widths a comparison runs, and what of it makes no sense: known before anything is run."""

import os
from typing import NamedTuple

from refq.errors import UsageError
from refq.files.checkpoint import open_checkpoint
from refq.files.tokenizer import open_tokenizer
from refq.jobs.calibrated import Calibration, calibration_windows, plan_calibrated, recorded
from refq.jobs.inputs import check_inputs
from refq.jobs.methods import recipe
from refq.jobs.perplexity import check_sizes
from refq.jobs.plan import METHODS, Options, plan_schemes
from refq.jobs.sweep_recipe import digest
from refq.jobs.text import cut_documents, read_documents

CODEBOOKS = METHODS[1:]
GROUP = 32
NAMES = (*recipe.METHODS, *CODEBOOKS)


class Entry(NamedTuple):
    """A method at a width.

    method: its name; that of a recipe is the name of its file.
    width: "W4A4": bits of weights, and of activations, 16 for floats.
    recipe: path of a recipe, or None.
    options: Options.
    calibration: Calibration, or None where rounding tensor after tensor will do.
    reason: why there is nothing to run, or "".
    """

    method: str
    width: str
    recipe: str | None
    options: Options
    calibration: Calibration | None
    reason: str = ""

    @property
    def reads(self):
        """Whether it looks at a text."""
        return self.calibration is not None and self.calibration.needs_text

    @property
    def draws(self):
        """Whether a seed changes what it makes."""
        return self.reads or (self.calibration is not None and self.calibration.steps[0].phase == "model")


def planned(model, methods, widths, options, calibration):
    """Every method at every width, width after width.

    Parameters
        model: directory of a float model.
        methods: some of NAMES, and paths of recipes.
        widths: tuples (bits of weights, bits of activations or None).
        options, calibration: what all have in common; a group_size of None: GROUP of grids, "channel" of codebooks.
    Returns
        list of Entry.
    Raises
        UsageError: nothing of it makes sense, or two methods have one name.
        GroupSizeError: a group size that the model cannot take.
    """
    checkpoint, asked = open_checkpoint(model), {}
    for method in methods:
        name = method if method in NAMES else os.path.splitext(os.path.basename(method))[0]
        if name in asked or (name in NAMES and method not in NAMES):
            raise UsageError(f"{method}: another file name is needed: there is a method called {name} already")
        asked[name] = (None, _steps(name)) if method in NAMES else (method, recipe.read_steps(method))
    entries = [
        _checked(_entry((name, *how), width, options, calibration), width, checkpoint)
        for width in widths
        for name, how in asked.items()
    ]
    if all(entry.reason for entry in entries):
        raise UsageError(entries[0].reason)
    return entries


def check_texts(model, texts, context, limit, entries):
    """Refuse, before anything is run, a text that a run would refuse.

    Parameters
        model: directory.
        texts: (path of the text to score, of the one to calibrate with or None, list of those of tasks).
        context, limit: as perplexity takes them.
        entries: list of Entry.
    Returns
        inputs: dict: the digests of what all rows depend on.
        calibration: digest of the text to calibrate with, or None.
    """
    (text, calibration, tasks), checkpoint = texts, open_checkpoint(model)
    named = {os.path.basename(task): task for task in tasks}
    if len({os.path.splitext(name)[0] for name in named}) < len(tasks):
        raise UsageError("two tasks have one name; columns of the table are called by the names of their files")
    tokenizer = open_tokenizer(model, checkpoint.config["vocab_size"])
    check_sizes(checkpoint.config, len(cut_documents(read_documents(text)[1], tokenizer)), context, limit, text)
    readers = [entry for entry in entries if entry.reads and not entry.reason]
    if not readers and calibration is not None:
        raise UsageError("--calibration is given, and no method looks at a text")
    read = calibration_windows(checkpoint, readers[0].calibration, calibration)[1] if readers else {}
    inputs = {"model": check_inputs(checkpoint)[0], "text": digest(text)}
    return inputs | {name: digest(task) for name, task in named.items()}, read.get("calibration")


def settings_of(entry, seed, calibration):
    """What decides the model of a run beside the float one; calibration: the digest of a text."""
    found = {"method": entry.method, "options": entry.options._asdict()}
    if entry.calibration is None:
        return found
    chosen = entry.calibration._replace(seed=seed) if entry.draws else entry.calibration
    return found | recorded(chosen) | ({"calibration": calibration} if entry.reads else {})


def _steps(name):
    return recipe.method_steps(name) if name in recipe.METHODS else ()


def _entry(how, width, options, calibration):
    """How: (name, path of a recipe or None, its steps)."""
    (name, path, steps), (weights, activations) = how, width
    size = options.group_size or (GROUP if steps else "channel")
    text, options = f"W{weights}A{activations or 16}", options._replace(bits=weights, group_size=size)
    if not steps:
        options = options._replace(method=name, symmetric=True, range="minmax")
    elif steps[-1].method == "int8":  # its inputs have 8 bits by themselves
        options, activations = options._replace(group_size="channel", symmetric=True), None
    if not steps or (name == "rtn" and activations is None):
        return Entry(name, text, path, options, None)
    return Entry(name, text, path, options, calibration._replace(steps=steps, activations=activations))


def _checked(entry, width, checkpoint):
    """The entry, with the reason where a run would refuse it."""
    try:
        if entry.calibration is not None and entry.calibration.steps[-1].method == "int8" and width != (8, 8):
            raise UsageError("LLM.int8() has weights and inputs of 8 bits: W8A8 alone")
        if entry.options.method in CODEBOOKS and width[1] is not None:
            raise UsageError("codebooks go with float activations alone: A16")
        if entry.calibration is None:
            plan_schemes(checkpoint, entry.options)
        else:
            plan_calibrated(checkpoint, entry.options, entry.calibration)
    except UsageError as error:
        return entry._replace(reason=str(error))
    return entry
