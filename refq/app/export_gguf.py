"""GGUF files: refq export --to gguf, and refq import of one."""

import json
import time

import click

from refq.app import engine as engines
from refq.app.signals import resumable
from refq.app.table import table
from refq.errors import UsageError
from refq.jobs.gguf_plan import TYPES

kind = click.option("--type", "kind", type=click.Choice(TYPES), help="Of the linear layers of a GGUF file.")
pre = click.option("--gguf-pre", "pre", help="llama.cpp's name of how words are cut, where it is not recognised.")


def check_options(name, kind, pre):
    """Refuse options of a GGUF file without one, and a GGUF file without a type."""
    if name != "gguf" and (kind or pre):
        raise UsageError(f"--{'type' if kind else 'gguf-pre'} is an option of --to gguf")
    if name == "gguf" and not kind:
        raise UsageError(f"--to gguf needs --type, one of {', '.join(TYPES)}")


def write(model, out, engine, threads, asked, as_json):
    """Write a GGUF file, and print what became of the layers."""
    from refq.jobs.gguf_write import write_gguf

    started = time.monotonic()
    with resumable(out):
        report = write_gguf(model, out, engines.load(engine, threads), *asked)
    report |= {"out": out, "seconds": round(time.monotonic() - started, 3)}
    click.echo(json.dumps(report) if as_json else _text(report))


def read(path, out, engine, threads, overwrite, as_json):
    """Write a GGUF file as a model directory, and print what became of the layers."""
    from refq.jobs.gguf_import import import_gguf

    started = time.monotonic()
    report = import_gguf(path, out, engines.load(engine, threads), overwrite)
    report |= {"out": out, "seconds": round(time.monotonic() - started, 3)}
    if as_json:
        click.echo(json.dumps(report))
        return
    if report["floats"]:
        click.echo(table(("decoded to F32, exactly", "from"), report["floats"].items()) + "\n")
    click.echo(f"{report['layers']} layers lossless: {report['codes']} codes are read back as they were meant")
    click.echo(f"{report['out']}: written in {report['seconds']:.1f} s")


def _text(report):
    lines = []
    if report["errors"]:
        rows = [(name, found["sqnr_db"], found["max_error"]) for name, found in report["errors"].items()]
        lines += [table(("rounded", "dB", "largest error"), rows), ""]
    if report["fallbacks"]:
        lines += [table(("rows without whole blocks", "type"), report["fallbacks"].items()), ""]
    if report["lossless"]:
        lines.append(f"{report['lossless']} layers lossless: {report['codes']} codes are read back as they were meant")
    lines.append(f"{report['out']}: {report['tensors']} tensors, written in {report['seconds']:.1f} s")
    return "\n".join(lines)
