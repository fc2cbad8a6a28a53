"""refq quantize --compare: every scheme on one model, as a table."""

import json

import click

from refq.app.table import table
from refq.jobs.schemes import compare, compared_options

TAKES = {"--compare", "--bits", "--group-size", "--keep", "--text", "--tokens", "--engine", "--threads", "--json"}
WIDTHS = (2, 3, 4)  # where --bits is not given


def run(model, engine, settings, given, as_json):
    """Print the comparison.

    Parameters
        model, engine: as jobs.schemes.compare takes them.
        settings: dict: bits (one or several), group_size, keep, text, tokens.
        given: names of the options that stand on the command line.
    """
    bits = settings["bits"] if "--bits" in given else WIDTHS
    size = settings["group_size"] if "--group-size" in given else None
    chosen = compared_options(bits if isinstance(bits, tuple) else (bits,), size, settings["keep"])
    rows = compare(model, engine, chosen, settings["text"], limit=settings["tokens"])
    click.echo(json.dumps({"model": model, "text": settings["text"], "schemes": rows}) if as_json else _text(rows))


def _text(rows):
    head = ("scheme", "bits", "per", "bits/weight", "dB", "perplexity")
    kinds = {True: "affine, symmetric", False: "affine, asymmetric"}
    cells = [
        (kinds.get(row["symmetric"], row["method"]), row["bits"], row["group_size"], row["bits_per_weight"])
        + (row["sqnr_db"] and f"{row['sqnr_db']:.2f}", row["perplexity"] and f"{row['perplexity']:.5g}")
        for row in rows
    ]
    scored = any(row["perplexity"] for row in rows)
    return table(head[: 5 + scored], [row[: 5 + scored] for row in cells])
