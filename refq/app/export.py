"""refq export: a quantized model in the format of another program."""

import functools

import click

from refq.app import engine as engines
from refq.app import export_gguf, options
from refq.app.report import ending, report
from refq.app.table import table
from refq.jobs.export import export_model
from refq.jobs.formats import DIRECTORIES

requantize = click.option(
    "--requantize",
    is_flag=True,
    help="Give another grid to layers whose own the format cannot hold; prints the errors.",
)


@click.command("export")
@options.model
@click.argument("out", type=click.Path())
@click.option(
    "--to", "name", type=click.Choice([*DIRECTORIES, "gguf", "onnx"]), required=True, help="The format of OUT."
)
@export_gguf.kind
@export_gguf.pre
@requantize
@options.engine
@options.threads
@options.resume
@options.overwrite
@options.as_json
def command(model, out, name, kind, pre, requantize, engine, threads, resume, overwrite, as_json):
    """Write the quantized MODEL into the new directory OUT, in the format of another program.

    Codes, scales and zero points stay the same, and are compared after reading OUT back. A layer that the format
    cannot hold is refused, with the rule that it breaks. With --to gguf OUT is a file, and MODEL may be float: then its
    layers are rounded as llama.cpp does. With --to onnx OUT is a graph, OUT.data its weights, and MODEL may be float.
    """
    export_gguf.check_options(name, kind, pre)
    if name == "gguf":
        export_gguf.write(model, out, engine, threads, (kind, pre, requantize, resume, overwrite), as_json)
        return
    job, asked = export_model, (name, DIRECTORIES.get(name), requantize, resume, overwrite)
    if name == "onnx":
        from refq.jobs.onnx_write import write_onnx as job

        asked = asked[2:]
    write(job, model, out, engine, threads, asked, as_json)


def write(job, model, out, engine, threads, asked, as_json):
    """Run an export, and print what it did."""
    report(out, functools.partial(job, model, out, engines.load(engine, threads), *asked), _text, as_json)


def _text(found):
    lines, new = [], found["requantized"]
    if new:
        rows = [(layer, one["sqnr_db"], one["max_error"], found["why"][layer]) for layer, one in new.items()]
        lines = [table(("requantized", "dB", "largest error", "because"), rows), ""]
    if not found["layers"]:
        return "\n".join(["no layer is quantized: every number is as it was, in float32", ending(found)])
    counts = f"{found['codes']} codes and {found['numbers']} scales and zero points of {found['layers']} layers"
    kept = f"{found['layers'] - len(new)} layers lossless, {len(new)} requantized" if new else "lossless"
    lines.append(f"{kept}: {counts} are read back as they were meant")
    return "\n".join([*lines, ending(found)])
