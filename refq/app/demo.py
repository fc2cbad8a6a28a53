"""refq demo: the main job with no download and no argument."""

import json

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
    from refq.jobs.demo import LABEL, run_demo

    rows = run_demo(out, load(engine, threads))
    if as_json:
        click.echo(json.dumps({"model": LABEL, "out": out, "results": rows}))
        return
    click.echo(f"model: a tiny LLaMA, {LABEL}\n")
    click.echo(table(rows))
    click.echo(
        f"\n{out}/original is the float model, {', '.join(out + '/' + row['name'] for row in rows[1:])} are quantized:"
    )
    click.echo(f"  refq inspect {out}/w4\n  refq generate {out}/w4 --prompt 'The clock' --max-tokens 40")


def table(rows):
    """One line a model: size, perplexity, and the distance from the original."""
    lines = ["model        bytes   perplexity   KL to original   same likeliest token"]
    lines += [
        f"{row['name']:<9}{row['bytes']:>9}{row['perplexity']:>13.2f}{row['kl']:>17.6f}{row['top1_agreement']:>23.1%}"
        for row in rows
    ]
    return "\n".join(lines)
