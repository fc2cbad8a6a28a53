"""refq demo: the main job with no download and no argument."""

import json
import os
import shlex
import shutil
import sys

import click

from refq.app import options


@click.command()
@click.option("--out", type=click.Path(), default="refq-demo", show_default=True, help="The directory to write.")
@options.engine
@options.threads
@options.as_json
def command(out, engine, threads, as_json):
    """Make a tiny LLaMA, quantize it at 8, 4 and 2 bits, and compare. Its weights are random, not trained."""
    from refq.app.engine import load
    from refq.jobs.demo import LABEL, TEXT, run_demo

    rows = run_demo(out, load(engine, threads))
    if as_json:
        click.echo(json.dumps({"model": LABEL, "out": out, "results": rows}))
        return
    click.echo(f"model: a tiny LLaMA, {LABEL}\n\n{table(rows)}\n")
    click.echo(
        "The perplexity of a random model means nothing: noise may lower it. The distance from the original counts."
    )
    click.echo("\n" + _hints(out, rows, str(TEXT)))


def table(rows):
    """One line a model: size, the distance from the original, and perplexity."""
    lines = ["model        bytes   KL to original   same likeliest token   perplexity"]
    lines += [
        f"{row['name']:<9}{row['bytes']:>9}{row['kl']:>17.6f}{row['top1_agreement']:>23.1%}{row['perplexity']:>13.2f}"
        for row in rows
    ]
    return "\n".join(lines)


def _hints(out, rows, text):
    """What to do next, as commands that can be pasted: with the path of this program where `refq` is not found."""
    command = "refq" if shutil.which("refq") else _running()
    original, w4 = (shlex.quote(os.path.join(out, name)) for name in ("original", "w4"))
    made = ", ".join(os.path.join(out, row["name"]) for row in rows[1:])
    return (
        f"{os.path.join(out, 'original')} is the float model, {made} are quantized:\n"
        f"  {command} inspect {w4}\n"
        f"  {command} perplexity {w4} --text {shlex.quote(text)} --original {original}"
    )


def _running():
    program = sys.argv[0]
    if os.path.basename(program) == "refq" and os.access(program, os.X_OK):
        return shlex.quote(program)
    return f"{shlex.quote(sys.executable)} -m refq"
