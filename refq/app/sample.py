"""refq sample: a text of a model's own documents."""

import functools
import json
import time

import click

from refq.app import options
from refq.app.signals import resumable
from refq.jobs.documents import SEPARATORS, Settings
from refq.jobs.sample import sample_model

_setting = functools.partial(options.setting, Settings())


@click.command()
@options.model
@click.argument("out", type=click.Path())
@_setting("tokens", options.COUNT, "Whole documents are written until they have so many tokens.")
@_setting("temperature", options.Real(min=0, min_open=True), "Below 1: likelier tokens still more often.")
@_setting("top_p", options.Real(0, 1, min_open=True), "Share of probability to draw from.")
@_setting("seed", click.IntRange(min=0), "Of the random numbers; every document has its own.")
@_setting("batch", options.COUNT, "Documents at a time.")
@_setting("separator", click.Choice(tuple(SEPARATORS)), "Between documents: a line of <|endoftext|>, or a line end.")
@options.engine
@options.threads
@options.resume
@options.overwrite
@options.as_json
def command(model, out, engine, threads, resume, overwrite, as_json, **settings):
    """Let MODEL write documents from its start token on, into the new UTF-8 file OUT: a text to distill it from where
    its training data is not at hand.

    The record of the run stands beside it, in OUT.json.
    """
    from refq.app.engine import load

    started = time.monotonic()
    with resumable(out):
        report = sample_model(model, out, load(engine, threads), Settings(**settings), resume, overwrite)
    report = {"out": out} | report | {"seconds": round(time.monotonic() - started, 3)}
    click.echo(json.dumps(report) if as_json else _text(report))


def _text(report):
    if not report["written"]:
        return f"{report['out']}: complete already, nothing written"
    figures = "\n".join(f"{name:<10}{report[name]}" for name in ("documents", "tokens", "bytes"))
    return f"{figures}\n\n{report['out']}: written in {report['seconds']:.1f} s"
