"""refq evaluate: score a multiple-choice set with a model."""

import json

import click

from refq.app import options


@click.command()
@options.model
@click.option(
    "--task",
    type=click.Path(exists=True, dir_okay=False),
    required=True,
    help="JSON lines: question and/or context, choices, answer.",
)
@options.activations
@options.engine
@options.threads
@options.as_json
def command(model, task, activations, engine, threads, as_json):
    """Score a multiple-choice set with a model: the share of items whose right choice is the likeliest a byte."""
    from refq.app.engine import load
    from refq.jobs.evaluate import evaluate_model

    report = evaluate_model(model, task, load(engine, threads), activations == "stored")
    click.echo(json.dumps(report) if as_json else _table(report))


def _table(report):
    from refq.app.table import table

    head = ("task", "items", "accuracy", "stderr", "chance", "truncated")
    kinds = report.get("kinds", {})
    rows = [_row(report["task"], report), *(_row(f"  {kind}", figures) for kind, figures in kinds.items())]
    return table(head, rows)


def _row(name, figures):
    shares = (figures[key] for key in ("accuracy", "stderr", "chance"))
    shares = [None if value is None else f"{value:.4f}" for value in shares]
    return (name, figures["items"], *shares, figures["truncated"])
