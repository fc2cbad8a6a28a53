"""refq analyze: what happens inside a model. The verb signal: how gradients and states pass through it in training."""

import json
import os
import tempfile
import time

import click

from refq.app import distill, options, sensitivity
from refq.app.pictures import if_installed
from refq.app.signal_text import findings, losses, short
from refq.app.table import table
from refq.errors import UsageError
from refq.jobs.distillation import Distillation
from refq.jobs.output import write_whole
from refq.jobs.plan import Options
from refq.jobs.signal import compare_signals, joined
from refq.jobs.signal_figures import csv, figures

OTHERS = {"out", "val", "val_tokens", "seed", "eval_every", "recompute", "save_every", "teacher_cache"}
OTHERS |= {"resume", "overwrite"}
SHARED = [parameter for parameter in distill.command.params if parameter.name not in OTHERS]


class Seeds(click.ParamType):
    """Numbers joined by commas."""

    name = "0,1,2"

    def convert(self, value, param, ctx):
        if not isinstance(value, str):
            return value
        parts = value.split(",")
        if not all(part.strip().isascii() and part.strip().isdigit() for part in parts):
            self.fail(f"{value!r}: whole numbers joined by commas", param, ctx)
        return tuple(dict.fromkeys(map(int, parts)))


@click.group()
def command():
    """Look inside a model."""


command.add_command(sensitivity.command, "sensitivity")


@command.command()
@click.option(
    "--out", type=click.Path(), required=True, metavar="REPORT.html", help="The page to write, and a CSV beside it."
)
@click.option(
    "--val",
    type=options.FILE,
    help="A UTF-8 file whose start is the probe; else the end of --text, which is then not trained on.",
)
@click.option("--probe-every", type=options.COUNT, default=10, show_default=True, help="Steps between two probes.")
@click.option(
    "--seeds", type=Seeds(), default="0", show_default=True, help="Of the order of the windows; two runs each."
)
@click.option("--overwrite", is_flag=True, help="Replace the report.")
def signal(teacher, out, text, val, probe_every, seeds, overwrite, rule, engine, threads, as_json, **settings):
    """Train TEACHER's low-bit copy with nothing frozen and with the projections of --freeze frozen, and compare how
    gradients and states pass through both with full precision: a page with plots, and every number as CSV.

    One batch is the probe of all three: at the start, every --probe-every steps, and at the end. The page needs
    matplotlib and jinja2: pip install 'refq[report]'.
    """
    from refq.app.engine import load

    started, table_path = time.monotonic(), _check_out(out, overwrite)
    page = page_maker()
    chosen = Options(range=rule, **{name: settings.pop(name) for name in set(Options._fields) - {"range", "method"}})
    training = Distillation(**settings, eval_every=probe_every)
    signals = compare_signals(teacher, (text, val), load(engine, threads, training=True), chosen, training, seeds)
    report = figures(signals, training.freeze)
    write_whole(table_path, csv(signals))
    if page is not None:
        settings = described(teacher, (text, val), chosen, training, seeds)
        write_whole(out, page(signals, report, settings, os.path.basename(table_path)))
    elif os.path.exists(out):
        os.unlink(out)  # the page of other numbers
    written = {"out": None if page is None else out, "csv": table_path, "seconds": round(time.monotonic() - started, 3)}
    click.echo(json.dumps(written | report | {"findings": findings(report)}) if as_json else _text(written, report))


signal.params[:0] = [parameter for parameter in SHARED if isinstance(parameter, click.Argument)]
signal.params += [parameter for parameter in SHARED if not isinstance(parameter, click.Argument)]


def _check_out(out, overwrite):
    """The path of the CSV; refuses an OUT that cannot be written, before any work."""
    stem, suffix = os.path.splitext(out)
    paths, folder = (out, f"{stem}.csv"), os.path.dirname(os.path.abspath(out))
    if suffix != ".html":
        raise UsageError(f"--out {out}: a name that ends in .html is needed; the numbers go into .csv beside it")
    if not os.path.isdir(folder):
        raise UsageError(f"--out {out}: the directory {folder} does not exist")
    for path in paths:
        if os.path.isdir(path):
            raise UsageError(f"--out {out}: {path} is a directory")
        if os.path.lexists(path) and not overwrite:
            raise UsageError(f"--out {out}: {path} exists; --overwrite replaces it")
    try:
        with tempfile.TemporaryFile(dir=folder):  # an OSError here, not at the end
            return paths[1]
    except OSError as error:
        raise OSError(error.errno, error.strerror, folder) from error


def page_maker():
    """The function that makes the page; None, and a sentence, where its packages are missing."""

    def load():
        from refq.app.signal_page import page

        return page

    return if_installed(load, "no page, only numbers and CSV")


def described(teacher, texts, chosen, training, seeds):
    """(title, one line, where the probe comes from)."""
    name, text, val = (os.path.basename(os.path.normpath(path or "")) for path in (teacher, *texts))
    source = f"the start of {val}" if texts[1] else f"the end of {text}, which neither is trained on"
    own = "" if training.float_lr is None else f" ({training.float_lr:g} for what stays float)"
    group = {"channel": "one scale an output", "tensor": "one scale a weight"}
    parts = [
        name,
        f"{chosen.bits} bits",
        group.get(chosen.group_size, f"groups of {chosen.group_size}"),
        "symmetric" if chosen.symmetric else "asymmetric",
        f"{chosen.range} ranges",
        training.quantizer,
        f"loss {training.loss}",
        f"{training.optimizer} at {training.lr:g}{own}, {training.schedule}",
        f"{training.steps} steps of {training.batch} windows of {training.context} tokens of {text}",
        f"seed{'s' * (len(seeds) > 1)} {joined([str(seed) for seed in seeds])}",
    ]
    if training.activations is not None:
        parts.insert(6, f"{training.activations}-bit inputs, a grid a {training.activation_range}")
    return name, ", ".join(parts), source


def _text(written, report):
    kinds = {"full": "full precision", "plain": "nothing frozen", "frozen": f"{joined(report['freeze'])} frozen"}
    kinds |= {"plain_ratio": "ratio", "frozen_ratio": "ratio"}
    rows = [[name, *(short(row[kind]) for kind in kinds)] for name, row in report["projections"].items()]
    lines = ["squared gradient norms at the end, and their ratios to full precision", ""]
    lines += [table(("", *kinds.values()), rows), ""]
    for finding in findings(report):
        verdict = finding["verdict"]
        lines += [
            f"{finding['claim']} {verdict[0].upper()}{verdict[1:]}.",
            click.wrap_text(finding["text"], 100, "    ", "    "),
        ]
    paths = " and ".join(filter(None, [written["out"], written["csv"]]))
    return "\n".join(
        [*lines, click.wrap_text(losses(report), 100), "", f"{paths}: written in {written['seconds']:.1f} s"]
    )
