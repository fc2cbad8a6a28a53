"""refq inspect: what is in a model directory."""

import json

import click

from refq.app import engine, options
from refq.app.table import table
from refq.jobs.inspect import inspect_model
from refq.jobs.progress import size


@click.command("inspect")
@options.model
@click.option("--original", type=options.DIRECTORY, help="Compare with this model: SQNR and largest error a tensor.")
@options.as_json
def command(model, original, as_json):
    """List the tensors of MODEL: shape, format, bits per weight, bytes.

    Without --original the errors are those that quantize recorded.
    """
    found = inspect_model(model, original, engine.load("fast") if original else None)
    if as_json:
        click.echo(json.dumps(found))
        return
    columns = ("shape", "format", "bits_per_weight", "bytes", "sqnr_db", "max_error")
    rows = [
        (row["name"], "x".join(map(str, row["shape"])), *(row[column] for column in columns[1:]))
        for row in found["tensors"]
    ]
    click.echo(table(("tensor", *columns), rows))
    click.echo(f"\n{len(rows)} tensors, {size(sum(row['bytes'] for row in found['tensors']))}")
    if found["run"]:
        said = {key: found["run"].get(key) for key in ("command", "version", "options")}
        click.echo(f"written by refq: {json.dumps(said)}")
