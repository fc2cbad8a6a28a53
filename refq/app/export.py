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
@click.option("--to", "name", type=click.Choice([*DIRECTORIES, "gguf"]), required=True, help="The format of OUT.")
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
    layers are rounded as llama.cpp does.
    """
    export_gguf.check_options(name, kind, pre)
    if name == "gguf":
        export_gguf.write(model, out, engine, threads, (kind, pre, requantize, resume, overwrite), as_json)
        return
    write(model, out, engine, threads, (name, DIRECTORIES[name], requantize, resume, overwrite), as_json)


def write(model, out, engine, threads, asked, as_json):
    """Run an export, and print what it did."""
    work = functools.partial(export_model, model, out, engines.load(engine, threads), *asked)
    report(out, work, _text, as_json)


def _text(found):
    lines, new = [], found["requantized"]
    if new:
        rows = [(layer, one["sqnr_db"], one["max_error"], found["why"][layer]) for layer, one in new.items()]
        lines = [table(("requantized", "dB", "largest error", "because"), rows), ""]
    counts = f"{found['codes']} codes and {found['numbers']} scales and zero points of {found['layers']} layers"
    kept = f"{found['layers'] - len(new)} layers lossless, {len(new)} requantized" if new else "lossless"
    lines.append(f"{kept}: {counts} are read back as they were meant")
    return "\n".join([*lines, ending(found)])
