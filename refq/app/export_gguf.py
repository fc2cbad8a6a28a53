"""GGUF files: refq export and quantize --to gguf, and refq import of one."""

import functools

import click

from refq.app import engine as engines
from refq.app.report import ending, report
from refq.app.table import table
from refq.errors import UsageError
from refq.files.checkpoint import open_checkpoint
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

    report(out, functools.partial(write_gguf, model, out, engines.load(engine, threads), *asked), _text, as_json)


def quantize(model, out, engine, threads, asked, as_json):
    """Write a float model as a GGUF file: what export does with it."""
    if open_checkpoint(model).schemes:
        raise UsageError(f"{model}: the model is quantized already; `refq export` writes it as GGUF")
    write(model, out, engine, threads, asked, as_json)


def read(path, out, engine, threads, asked, as_json):
    """Write a GGUF file as a model directory, and print what became of the layers."""
    from refq.jobs.gguf_import import import_gguf

    report(out, functools.partial(import_gguf, path, out, engines.load(engine, threads), *asked), _read, as_json)


def _read(found):
    lines = []
    if found["floats"]:
        lines += [table(("decoded to F32, exactly", "from"), found["floats"].items()), ""]
    counts = f"{found['codes']} codes and {found['numbers']} scales and zero points"
    lines.append(f"{found['layers']} layers lossless: {counts} are read back as they were meant")
    return "\n".join([*lines, ending(found)])


def _text(found):
    lines = []
    if found["errors"]:
        rows = [(name, one["sqnr_db"], one["max_error"]) for name, one in found["errors"].items()]
        lines += [table(("rounded", "dB", "largest error"), rows), ""]
    if found["fallbacks"]:
        lines += [table(("rows without whole blocks", "type"), found["fallbacks"].items()), ""]
    if found["lossless"]:
        lines.append(f"{found['lossless']} layers lossless: {found['codes']} codes are read back as they were meant")
    return "\n".join([*lines, ending(found)])
