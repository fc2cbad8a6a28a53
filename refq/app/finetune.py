"""refq finetune: an encoder in, one that knows a task out, float or with codebooks for weights."""

import functools
import json
import math
import time

import click

from refq.app import options
from refq.app.signals import resumable
from refq.jobs.finetune import Finetuning, Run, finetune_model
from refq.training.codebook_student import SCHEMES

_setting = functools.partial(options.setting, Finetuning())


@click.command()
@options.model
@click.argument("out", type=click.Path())
@click.option(
    "--task", type=options.FILE, required=True, help="JSON lines: sentence, or sentence1 and sentence2; label or score."
)
@click.option("--val", type=options.FILE, help="Another such file, to validate on after every epoch.")
@_setting("bits", click.IntRange(1, 8), "Quantize first, to 2**BITS entries a tensor; float if not given.")
@_setting(
    "scheme",
    click.Choice(SCHEMES),
    "How codebooks are fitted; kmeans: k-means++ and three of Lloyd's steps; kmeans_optimal: the optimum.",
)
@_setting("reduce", click.Choice(("mean", "sum")), "What an entry makes of its members' gradients.")
@click.option("--requantize", is_flag=True, help="Train weights, and requantize them every step, in place of entries.")
@click.option("--share-layers", is_flag=True, help="Let the last layer serve for all, as in ALBERT.")
@_setting("items", click.IntRange(min=0), "Train on this many items, drawn by the seed; 0 for all.")
@_setting("tokens", click.IntRange(min=4), "Tokens of a text or pair, in training.")
@_setting("epochs", click.IntRange(min=0), "How often each item is seen; 0 quantizes only.")
@_setting("batch", options.COUNT, "Items a step.")
@_setting("lr", options.Real(min=0), "Learning rate, down to 0 along a line.")
@_setting("weight_decay", options.Real(min=0), "Of matrices and codebooks.")
@_setting("seed", click.IntRange(min=0), "Of the items, their order, a new head, and the first entries of kmeans.")
@options.save_every
@options.engine
@options.threads
@options.resume
@options.overwrite
@options.as_json
def command(model, out, task, val, save_every, engine, threads, resume, overwrite, as_json, **settings):
    """Fine-tune the encoder MODEL (BERT, ALBERT) on a task, and write it into the new directory OUT.

    With --bits all matrices but the classifier become indices of codebooks first; then the entries are trained, and
    the indices stay. training.csv in OUT is the log of the run.
    """
    from refq.app.engine import load

    started, run = time.monotonic(), Run(save_every, resume, overwrite)
    with resumable(out):
        found = finetune_model(
            model, out, (task, val), load(engine, threads, training=True), Finetuning(**settings), run
        )
    report = {"out": out, "written": found is not None, "seconds": round(time.monotonic() - started, 3)}
    if found is not None:
        columns, history = found
        report |= {"first": _row(columns, history[0]), "last": _row(columns, history[-1])}
    click.echo(json.dumps(report) if as_json else _text(report))


def _row(columns, row):
    return {name: value if math.isfinite(value) else None for name, value in zip(columns, row.tolist(), strict=True)}


def _text(report):
    if not report["written"]:
        return f"{report['out']}: complete already, nothing written"
    lines, (first, last) = [], (report["first"], report["last"])
    if last["loss"] is not None:
        lines.append(f"{'loss':<24}{last['loss']:.4f}")
    name = list(last)[-1]
    if last[name] is not None and first[name] is not None:
        lines.append(f"{name.replace('_', ' '):<24}{first[name]:.4f} before, {last[name]:.4f} after")
    return "\n".join([*lines, "", f"{report['out']}: written in {report['seconds']:.1f} s"])
