"""refq inspect: what is in a model directory."""

import json

import click

from refq.app import engine, options
from refq.app.table import table
from refq.jobs.inspect import inspect_model
from refq.jobs.progress import size


@click.command("inspect")
@options.readable_model
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
    rows = [
        (
            *(row["name"], "x".join(map(str, row["shape"])), row["format"], row["bits_per_weight"]),
            *(size(row["bytes"]), row["sqnr_db"], row["max_error"]),
        )
        for row in found["tensors"]
    ]
    click.echo(table(("tensor", "shape", "format", "bits/weight", "size", "dB", "largest error"), rows))
    click.echo(f"\n{len(rows)} tensors, {size(sum(row['bytes'] for row in found['tensors']))}")
    bits, rotated = found["attention"].values()
    if bits or rotated:
        grid = f"q, k and v int{bits} token" if bits else "no grid"
        click.echo(f"attention: {grid}{', q and k rotated' if rotated else ''}")
    if found["run"]:
        click.echo(f"written by {_written(found['run'])}")


def _written(run):
    """One line on a run record, whatever it holds."""
    options = run["options"] if isinstance(run.get("options"), dict) else {}
    said = {name: _plain(value) for name, value in options.items()}
    keep = options["keep"] if isinstance(options.get("keep"), list) else []
    steps = _steps(run.get("calibration"))
    words = {
        "steps": " and ".join(steps),
        "to": f"to {said.get('to')}",
        "type": f"type {said.get('type')}",
        "method": said.get("method"),
        "bits": f"bits {said.get('bits')}",
        "group_size": f"{'group' if isinstance(options.get('group_size'), int) else 'per'} {said.get('group_size')}",
        "symmetric": "symmetric" if options.get("symmetric") else "asymmetric",
        "range": said.get("range"),
        "fallback": f"fallback {said.get('fallback')}",
        "keep": f"keep {' '.join(map(_plain, keep)) or 'nothing'}",
    }
    affine = options.get("method", "affine") == "affine"
    unused = {"method"} if affine else {"symmetric", "range"}
    used = (options.keys() - unused) | ({"steps"} if steps else set())
    text = ", ".join(words[name] for name in words if name in used)
    return f"refq {_plain(run.get('version'))} {_plain(run.get('command'))}" + (f": {text}" if text else "")


def _steps(calibration):
    """The methods of a recipe, in their order."""
    steps = calibration.get("steps") if isinstance(calibration, dict) else None
    found = steps.values() if isinstance(steps, dict) else ()
    return [_plain(step["method"]) for step in found if isinstance(step, dict) and "method" in step]


def _plain(value):
    """Letters that a terminal shows as they are."""
    return json.dumps(value).strip('"')
