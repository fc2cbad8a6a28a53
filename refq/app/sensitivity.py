"""refq analyze sensitivity: which linear layers quantization hurts."""

import json
import os
import time

import click

from refq.app import options
from refq.app.pictures import checked_out, if_installed
from refq.app.sensitivity_text import text as words
from refq.jobs.output import write_whole
from refq.jobs.plan import Options
from refq.jobs.sensitivity import TOKENS, sensitivity
from refq.jobs.sensitivity_figures import csv, perplexity, rows


@click.command()
@options.model
@click.option(
    "--text", type=options.FILE, required=True, help="A UTF-8 file; lines of <|endoftext|> divide its documents."
)
@click.option("--context", type=click.IntRange(min=2), default=256, show_default=True, help="Tokens a window.")
@click.option("--tokens", type=click.IntRange(min=2), help=f"Use the first N tokens; {TOKENS} if not given.")
@click.option("--bits", type=click.IntRange(2, 8), default=4, show_default=True, help="Bits of a code.")
@options.group_size(32, "Weights that share a scale.")
@options.symmetric
@options.rule("The rule that fits the scales.")
@options.fallback
@click.option(
    "--activations", type=click.IntRange(4, 16), help="Also quantize inputs alone, with a grid a token of so many bits."
)
@click.option(
    "--out",
    type=click.Path(),
    metavar="FILE.png|.svg|.csv",
    help="All numbers as CSV; beside a picture with the same name.",
)
@click.option("--overwrite", is_flag=True, help="Replace picture and CSV.")
@options.engine
@options.threads
@options.as_json
def command(model, text, context, tokens, activations, out, overwrite, rule, engine, threads, as_json, **settings):
    """Quantize one linear layer of the float MODEL after the other, as `refq quantize` would, and measure how far the
    distribution of the next token moves: KL divergence to the original in nats a token.

    Also all layers of a kind, of a block, and of the model together; with --activations the same for their inputs,
    the weights left float. The picture needs matplotlib: pip install 'refq[report]'.
    """
    from refq.app.engine import load

    started, paths = time.monotonic(), {} if out is None else _paths(out, overwrite)
    picture = if_installed(_picture, "no picture, only numbers and CSV") if "picture" in paths else None
    chosen = Options(range=rule, **settings)
    found = sensitivity(model, text, load(engine, threads), chosen, context, tokens, activations)
    figures = rows(found)
    if out is not None:
        write_whole(paths["csv"], csv(figures))
    if picture is not None:
        write_whole(out, picture(found, _titles(model, text, chosen, activations, found), paths["picture"]))
    elif "picture" in paths and os.path.exists(out):
        os.unlink(out)  # the picture of other numbers
    report = {"out": None if picture is None else out, "csv": paths.get("csv")}
    report |= {"original": perplexity(found.original), "tokens_scored": found.scored, "windows": found.windows}
    report |= {"seconds": round(time.monotonic() - started, 3), "rows": figures}
    click.echo(json.dumps(report) if as_json else words(report, found.parts))


def _paths(out, overwrite):
    """{"csv": path, "picture": kind of picture if there is one}."""
    stem, kind = checked_out(out, ("csv",), overwrite, "--overwrite replaces a file")
    return {"csv": out} if kind == "csv" else {"csv": f"{stem}.csv", "picture": kind}


def _picture():
    from refq.app.sensitivity_plot import picture

    return picture


def _titles(model, text, chosen, activations, found):
    name, source = (os.path.basename(os.path.normpath(path)) for path in (model, text))
    rest = ", else one scale an output" if chosen.fallback == "channel" else ""
    group = {"channel": "one scale an output", "tensor": "one scale a weight"}
    how = (
        group.get(chosen.group_size, f"groups of {chosen.group_size}{rest}"),
        "symmetric" if chosen.symmetric else "asymmetric",
        f"{chosen.range} ranges",
    )
    start = f"{name}: what each linear layer costs, quantized alone"
    line = f"{', '.join(how)}; {found.scored} tokens of {source}; all: quantized together"
    panels = {"weight": f"weights, {chosen.bits} bits", "input": f"inputs, {activations} bits"}
    return start, line, *(panels[part] for part in found.parts)
