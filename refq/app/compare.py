"""refq compare: many methods at several bit widths, each a run of refq quantize, in one table and one plot."""

import json
import os
import time

import click

from refq import __version__
from refq.app import options
from refq.app.compare_runs import Asked, jobs
from refq.app.pictures import checked_out, if_installed
from refq.app.table import table
from refq.jobs import comparison_table as tables
from refq.jobs.calibrated import Calibration
from refq.jobs.comparison import GROUP, NAMES, check_texts, planned
from refq.jobs.output import write_whole
from refq.jobs.plan import Options
from refq.jobs.sweep import check_out, run_sweep
from refq.jobs.sweep_places import aloud
from refq.jobs.sweep_run import FINISHED


class Listed(click.ParamType):
    """Different things with commas between them."""

    def __init__(self, name, read):
        self.name, self.read = name, read

    def convert(self, value, param, ctx):
        if isinstance(value, tuple):
            return value
        try:
            found = tuple(self.read(part.strip()) for part in value.split(","))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if len(set(found)) < len(found):
            self.fail(f"{value!r} names something twice", param, ctx)
        return found


def _method(text):
    if text not in NAMES and not (text.endswith(".toml") and os.path.isfile(text)):
        raise ValueError(f"{text!r} is no method and no recipe, a file NAME.toml; methods are {', '.join(NAMES)}")
    return text


def _width(text):
    """
    >>> _width("W4A8"), _width("W3A16"), _width("2")
    ((4, 8), (3, None), (2, None))
    """
    weights, _, activations = text.upper().removeprefix("W").partition("A")
    numbers = [str(number) for number in range(1, 17)]
    if weights not in numbers[:8] or (activations or "16") not in numbers[1:]:
        raise ValueError(f"{text!r} is no width as W4A8: weights of 1..8 bits, activations of 2..15, or A16 for floats")
    return int(weights), None if activations in ("", "16") else int(activations)


def _seed(text):
    if not text.isascii() or not text.isdigit() or int(text) > 2**31:
        raise ValueError(f"{text!r} is no seed, a number of 0..{2**31}")
    return int(text)


@click.command()
@options.model
@click.option(
    "--methods",
    type=Listed("name,...", _method),
    required=True,
    help=f"Of {', '.join(NAMES)}; and recipes, files NAME.toml, see refq quantize.",
)
@click.option("--bits", type=Listed("W4A8,...", _width), required=True, help="Of weights and activations; A16: floats.")
@click.option("--text", type=options.FILE, required=True, help="A text to score; see refq perplexity.")
@click.option("--calibration", type=options.FILE, help="Another text, for methods that look at what passes.")
@click.option("--tokens", type=click.IntRange(min=2), help="Score the first N tokens; all if not given.")
@click.option("--context", type=click.IntRange(min=2), default=256, show_default=True, help="Tokens of a window.")
@click.option("--task", "tasks", type=options.FILE, multiple=True, help="Also refq evaluate; repeats.")
@options.setting(Calibration(()), "sequences", options.COUNT, "Windows of the calibration text that are used.")
@click.option(
    "--seeds", type=Listed("0,1,...", _seed), default="0", show_default=True, help="A run each, where a method draws."
)
@options.group_size(None, f"Weights that share a scale ({GROUP} if not given), or a codebook (channel).")
@options.symmetric
@options.rule("The rule that fits the scales.")
@options.fallback
@click.option("--keep", multiple=True, metavar="PATTERN", help="Layers that stay float, as in refq quantize; repeats.")
@click.option("--out", type=click.Path(), required=True, metavar="FILE.png|.svg|.csv", help="The plot; or no plot.")
@click.option("--keep-models", is_flag=True, help="Keep the models, in NAME.runs/runs/*/model.")
@click.option("--resume", is_flag=True, help="Keep the rows that are finished; replace table and plot.")
@options.engine
@options.threads
@options.as_json
@click.pass_context
def command(ctx, model, methods, bits, out, seeds, keep_models, resume, engine, threads, as_json, **values):
    """Quantize the float MODEL with each of several methods at each of several widths, and measure what is left.

    One run of `refq quantize` each, then `refq perplexity` with the KL divergence to MODEL, and `refq evaluate` of
    each --task. Beside FILE.png, the plot, stand FILE.md, the table, and FILE.csv, a line a run; the rows that are
    finished are kept in FILE.runs/, so that a comparison can be continued, and grow. What makes no sense, as int8 at
    4 bits, is "-" with the reason below. A run that fails does not stop the others; then the exit code is 1.

    `refq quantize --compare` is the quick look without calibration or activations: nothing is written, and all
    schemes are shown. The plot needs matplotlib: pip install 'refq[report]'.
    """
    started, remedy = time.monotonic(), "--resume continues a comparison, and replaces its files"
    stem, suffix = checked_out(out, ("csv", "md"), resume, remedy)
    picture = None if suffix == "csv" else if_installed(_picture, "no plot, only the table")
    scored, extra = (values.pop("context"), values.pop("tokens")), ("--engine", engine, "--json")
    extra += ("--threads", str(threads)) if threads else ()
    texts = (values.pop("text"), values.pop("calibration"), values.pop("tasks"))
    usual = Calibration((), None, values.pop("sequences"), scored[0])
    entries = planned(model, methods, bits, Options(range=values.pop("rule"), **values), usual)
    inputs, read = check_texts(model, texts, *scored, entries)
    record = {"command": "compare", "version": __version__, "scored": list(scored), "inputs": inputs}
    room = os.path.abspath(f"{stem}.runs")
    check_out(room, record, resume)
    places = [(tables.FLOAT, ""), *((entry.method, entry.width) for entry in entries)]
    work = jobs(entries, seeds, read, Asked(model, *texts, scored, extra), (room, keep_models))
    title, line = _about(model, texts, scored, usual)

    def write(rows, drawn=None):
        lines, remarks = tables.summarize(places, rows), tables.notes(entries, rows)
        write_whole(f"{stem}.csv", tables.comma_separated(rows))
        write_whole(f"{stem}.md", tables.markdown((title, f"P{line[1:]}."), lines, remarks, drawn, rows))
        return lines, remarks

    rows = run_sweep(room, work, record, aloud, write)
    lines, remarks = write(rows, picture and os.path.basename(out))
    if picture is not None:
        write_whole(out, picture(lines, (title, line), suffix))
    failed = sum(row["state"] != FINISHED for row in rows)
    report = {"out": out if picture else f"{stem}.csv", "failed": failed, "table": lines, "notes": remarks}
    report |= {"seconds": round(time.monotonic() - started, 1), "runs": rows}
    click.echo(json.dumps(report) if as_json else _text(report))
    ctx.exit(1 if failed else 0)


def _picture():
    from refq.app.compare_plot import picture

    return picture


def _about(model, texts, scored, usual):
    name, text = (os.path.basename(os.path.normpath(path)) for path in (model, texts[0]))
    limit = f"the first {scored[1]} tokens of " if scored[1] else ""
    line = f"perplexity of {limit}{text} in windows of {scored[0]}"
    if texts[1] is not None:
        line += f"; calibrated with {usual.sequences} windows of {os.path.basename(texts[1])}"
    return f"{name}, quantized by refq {__version__}", line


def _text(report):
    text = table(*tables.cells(report["table"])) + "".join(f"\n{line}" for line in ["", *report["notes"]])
    failed = f", {report['failed']} failed" if report["failed"] else ""
    done = sum(row["state"] == FINISHED for row in report["runs"])
    return f"{text.rstrip()}\n\n{report['out']}: {done} runs finished{failed}, {report['seconds']:.0f} s"
