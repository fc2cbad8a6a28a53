"""What refq compare runs: the commands of every method at every width."""

import os
import shlex
from typing import NamedTuple

from refq.jobs.comparison import settings_of
from refq.jobs.comparison_table import FLOAT
from refq.jobs.sweep import slug_of
from refq.jobs.sweep_run import Job


class Asked(NamedTuple):
    """What the command line asks for, as commands need it.

    model, text, calibration, tasks: paths; calibration may be None.
    scored: (tokens a window, tokens in all or None).
    extra: arguments of every command.
    """

    model: str
    text: str
    calibration: str | None
    tasks: tuple
    scored: tuple
    extra: tuple


def jobs(entries, seeds, read, asked, kept):
    """The runs, in the order of the table.

    Parameters
        entries: list of refq.jobs.comparison.Entry.
        seeds: of entries that draw.
        read: the digest of the calibration text, or None.
        asked: Asked.
        kept: (directory of all rows, whether models stay).
    Returns
        list of Job: of the float model, then of every entry that makes sense, with every seed.
    """
    room, keep = kept
    whole = {"slug": FLOAT, "name": FLOAT, "method": FLOAT, "bits": "", "verb": None, "seed": None}
    found = [_job(whole, [], asked, os.path.join(room, "runs", FLOAT), keep)]
    for entry in entries:
        for seed in [] if entry.reason else seeds if entry.draws else [None]:
            own = {"bits": entry.width} | ({} if seed is None else {"seed": seed})
            slug = slug_of(entry.method, own, settings_of(entry, seed, read))
            name = f"{entry.method} {entry.width}" + (f" seed {seed}" if len(seeds) > 1 and seed is not None else "")
            row = {"slug": slug, "name": name, "method": entry.method, "bits": entry.width, "seed": seed}
            arguments = _quantize(entry, seed, asked.calibration)
            found.append(_job(row | {"verb": "quantize"}, arguments, asked, os.path.join(room, "runs", slug), keep))
    return found


def _job(row, made, asked, folder, keep):
    """The Job that makes a model with the arguments `made` of quantize, and scores it; of the float model without."""

    def commands(out):
        make = [("quantize", asked.model, out, *made, "--resume")] if made else []
        model, original = (out, ("--original", asked.model)) if made else (asked.model, ())
        context, tokens = asked.scored
        limit = ("--tokens", str(tokens)) if tokens else ()
        score = ("perplexity", model, "--text", asked.text, "--context", str(context), *limit, *original)
        return [*make, score, *(("evaluate", model, "--task", task) for task in asked.tasks)]

    shown = [shlex.join(("refq", *(item for item in line if item != "--resume"))) for line in commands(row["slug"])]
    work = tuple((*line, *asked.extra) for line in commands(os.path.join(folder, "model")))
    return Job(folder, "", work, keep, 1, row | {"commands": shown})


def _quantize(entry, seed, calibration):
    """What refq quantize is told for an entry."""
    chosen, how = entry.options, entry.calibration
    found = ["--recipe", entry.recipe] if entry.recipe else ["--method", entry.method]
    found += ["--bits", str(chosen.bits), "--group-size", str(chosen.group_size), "--fallback", chosen.fallback]
    if chosen.method == "affine":
        found += ["--symmetric" if chosen.symmetric else "--asymmetric", "--range", chosen.range]
    for pattern in chosen.keep:
        found += ["--keep", pattern]
    if how is not None and how.activations is not None:
        found += ["--activations", str(how.activations)]
    if entry.reads:
        found += ["--calibration", calibration, "--sequences", str(how.sequences), "--context", str(how.context)]
    return found + (["--seed", str(seed)] if entry.draws else [])
