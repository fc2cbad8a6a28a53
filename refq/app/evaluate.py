"""refq evaluate: score a multiple-choice set with a language model, or a set of sentences with an encoder."""

import json
import os

import click

from refq.app import options


@click.command()
@options.model
@click.option(
    "--task",
    type=options.FILE,
    required=True,
    help="JSON lines: question and/or context, choices, answer; of an encoder sentences, and label or score.",
)
@options.activations
@options.engine
@options.threads
@options.as_json
def command(model, task, activations, engine, threads, as_json):
    """Score a set with a model.

    A language model is given a multiple-choice set: the share of items whose right choice is the likeliest a byte. An
    encoder is given sentences: accuracy, F1 and Matthews' coefficient of labels, or the correlations of cosines of
    pairs of sentences with their scores.
    """
    from refq.app.engine import load
    from refq.files.bert_config import is_encoder

    path = os.path.join(model, "config.json")
    if os.path.exists(path) and is_encoder(path):
        from refq.jobs.sentences import evaluate_sentences

        report = evaluate_sentences(model, task, load(engine, threads))
    else:
        from refq.jobs.evaluate import evaluate_model

        report = evaluate_model(model, task, load(engine, threads), activations)
    click.echo(json.dumps(report) if as_json else _table(report))


def _table(report):
    from refq.app.table import table

    if "kind" in report:
        named = {key: value for key, value in report.items() if key not in ("task", "kind", "items")}
        cells = ["-" if value is None else f"{value:.4f}" for value in named.values()]
        return table(("task", "items", *named), [(report["task"], report["items"], *cells)])
    head = ("task", "items", "accuracy", "stderr", "chance", "truncated")
    kinds = report.get("kinds", {})
    rows = [_row(report["task"], report), *(_row(f"  {kind}", figures) for kind, figures in kinds.items())]
    return table(head, rows)


def _row(name, figures):
    shares = (figures[key] for key in ("accuracy", "stderr", "chance"))
    shares = [None if value is None else f"{value:.4f}" for value in shares]
    return (name, figures["items"], *shares, figures["truncated"])
