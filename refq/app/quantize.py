"""refq quantize: a float model in, a low-bit model out."""

import json
import time

import click

from refq.app import calibrated, export_gguf, options, schemes
from refq.app import engine as engines
from refq.app.signals import resumable
from refq.app.table import by_kind, table
from refq.errors import UsageError
from refq.files.checkpoint import open_checkpoint
from refq.jobs.calibrated import plan_solved, quantize_calibrated
from refq.jobs.inspect import inspect_model, list_tensors, summarize
from refq.jobs.plan import METHODS, Options
from refq.jobs.progress import size
from refq.jobs.quantize import plan_model, quantize_model

WORST = 5
SHARED = {"--engine", "--threads", "--resume", "--overwrite", "--json", "--debug"}  # by all that quantize


@click.command("quantize")
@options.model
@click.argument("out", type=click.Path(), required=False)
@click.option(
    "--bits", type=options.Bits(), default=4, show_default=True, help="Bits of a code; 2..8 with affine grids."
)
@click.option(
    "--method",
    type=click.Choice(list(dict.fromkeys((*METHODS, *calibrated.NAMES)))),
    default="affine",
    show_default=True,
    help="Rounding to nearest (affine, rtn); a scheme that fits codebooks (kmeans: k-means++ and three of Lloyd's "
    "steps; kmeans_optimal: the optimum); or a method that prepares or solves blocks.",
)
@calibrated.takes_them
@options.group_size(32, "Weights that share a scale, or a codebook.")
@options.symmetric
@options.rule("The rule that fits the scales.")
@options.fallback
@click.option(
    "--keep",
    multiple=True,
    metavar="PATTERN",
    help="Layers that stay float: a shell pattern for the whole name of a layer or its last parts: down_proj, "
    "model.layers.0.*; repeats.",
)
@click.option("--to", "name", type=click.Choice(["gguf"]), help="A GGUF file OUT, rounded as llama.cpp does.")
@export_gguf.kind
@export_gguf.pre
@options.engine
@options.threads
@options.resume
@options.overwrite
@click.option("--compare", is_flag=True, help="Rounding and codebooks of every kind, in one table; writes no model.")
@click.option("--text", type=options.FILE, help="With --compare: a text to score.")
@click.option("--tokens", type=click.IntRange(min=2), help="With --compare: the first N tokens of it.")
@click.option("--dry-run", is_flag=True, help="Check everything, say what would be done, write nothing.")
@options.as_json
def command(model, out, engine, threads, resume, overwrite, dry_run, as_json, **settings):
    """Write a low-bit copy of the float MODEL into the new directory OUT.

    OUT is in the `pack-quantized` format of compressed-tensors, with the tokenizer: transformers loads it as it is.
    Embeddings, norms and lm_head stay float. Methods from rtn on go block by block; a --recipe says which steps, one
    after the other. Codebooks, and what quantizes or alters activations, are in formats of our own that refq alone
    reads. With --compare there is no OUT: that is a quick look at what rounding and codebooks make of the weights, in
    memory; `refq compare` quantizes with any methods, calibrated ones and activations too, and scores what they wrote.
    With --to gguf OUT is a file for llama.cpp, as `refq export` writes it of the same MODEL.
    """
    started, given = time.monotonic(), _given()
    alone = {name: settings.pop(name) for name in ("compare", "text", "tokens")}
    if alone["compare"]:
        _refuse("--compare", given - schemes.TAKES, out)
        schemes.run(model, engines.load(engine, threads), settings | alone, given, as_json)
        return
    _check(out, settings, given)
    to = settings.pop("name"), settings.pop("kind"), settings.pop("pre")
    export_gguf.check_options(*to)
    if to[0]:
        _refuse("--to gguf", given - SHARED - {"--to", "--type", "--gguf-pre"})
        export_gguf.quantize(model, out, engine, threads, (*to[1:], False, resume, overwrite), as_json)
        return
    asked = calibrated.asked(settings, given, (resume, overwrite))
    chosen = Options(range=settings.pop("rule"), **settings)
    if dry_run:
        plan = _plan(model, out, chosen, asked, resume or overwrite)
        click.echo(json.dumps(plan) if as_json else _plan_text(plan))
        return
    _note(chosen)
    with resumable(out):
        engine = engines.load(engine, threads)
        if asked is None:
            written = quantize_model(model, out, engine, chosen, resume, overwrite)
        else:
            written = quantize_calibrated(model, out, engine, chosen, *asked)
    report = _report(model, out) | {"written": written, "seconds": round(time.monotonic() - started, 3)}
    click.echo(json.dumps(report) if as_json else _report_text(report))


def _given():
    """The options that stand on the command line."""
    ctx = click.get_current_context()
    chosen = [param for param in ctx.command.params if isinstance(param, click.Option)]
    return {param.opts[0] for param in chosen if ctx.get_parameter_source(param.name).name == "COMMANDLINE"}


def _check(out, settings, given):
    if out is None:
        raise UsageError("OUT is missing; --compare alone needs none")
    if isinstance(settings["bits"], tuple):
        raise UsageError("--bits with several numbers; --compare alone takes them")
    if settings["method"] in set(METHODS) - {"affine"}:
        _refuse(f"--method {settings['method']}", given & {"--symmetric", "--range"})
    _refuse("quantize without --compare", given & {"--text", "--tokens"})


def _plan(model, out, chosen, asked, replace):
    if asked is None:
        return plan_model(model, out, chosen, replace)
    return plan_solved(model, out, chosen, asked.calibration, asked.run)


def _refuse(what, others, out=None):
    if others or out is not None:
        raise UsageError(f"{what} does not go with {', '.join(sorted(others)) or f'OUT {out}'}")


def _note(chosen):
    if chosen.method == "affine" and chosen.bits in (3, 5, 6, 7):
        text = f"refq: {chosen.bits}-bit codes are packed densely; reading them needs compressed-tensors 0.18 or later"
        click.echo(text, err=True)


def _report(model, out):
    found = inspect_model(out)
    run, tensors = found["run"], found["tensors"]
    layers = sorted((row for row in tensors if row["sqnr_db"] is not None), key=lambda row: row["sqnr_db"])
    grouped = run["options"]["group_size"] not in ("channel", "tensor")
    fallen = [row["name"] for row in tensors if grouped and " channel " in row["format"]]
    kinds = summarize(tensors, list_tensors(open_checkpoint(model)))
    report = {"out": out, "bits_per_weight": kinds[-2]["bits_per_weight"], "kinds": kinds}
    return report | {"worst": layers[:WORST], "fallback": fallen, "run": run}


def _report_text(report):
    kinds = [
        (row["kind"], row["tensors"], row["bits_per_weight"], size(row["bytes_before"]), size(row["bytes"]))
        for row in report["kinds"]
    ]
    worst = [(row["name"], row["format"], row["sqnr_db"], row["max_error"]) for row in report["worst"]]
    text = table(("kind", "tensors", "bits/weight", "before", "after"), kinds)
    if worst:
        text += "\n\n" + table(("worst by SQNR", "format", "dB", "largest error"), worst)
    if report["fallback"]:
        names = by_kind(name.removesuffix(".weight") for name in report["fallback"])
        text += "\n\nper channel, because the group size does not divide them:"
        text += "".join(f"\n  {kind} ({count})" for kind, count in names.items())
    end = f"written in {report['seconds']:.1f} s" if report["written"] else "complete already, nothing written"
    return f"{text}\n\n{report['out']}: {end}"


def _plan_text(plan):
    totals = {}
    for row in plan["tensors"]:
        [kind] = by_kind([row["name"]])
        count, before, after = totals.get((kind, row["format"]), (0, 0, 0))
        totals[kind, row["format"]] = (count + 1, before + row["bytes_before"], after + row["bytes"])
    rows = [(*key, count, size(before), size(after)) for key, (count, before, after) in totals.items()]
    text = table(("tensor", "format", "tensors", "before", "after"), rows)
    return f"{text}\n\n{size(plan['disk'])} of disk and at most {size(plan['memory'])} of memory are needed"
