"""refq perplexity: score a text with a model."""

import json

import click

from refq.app import options


@click.command()
@options.readable_model
@click.option(
    "--text",
    type=options.FILE,
    required=True,
    help="A UTF-8 file; lines of <|endoftext|> divide its documents.",
)
@click.option("--context", type=click.IntRange(min=2), default=256, show_default=True, help="Tokens a window.")
@click.option("--tokens", type=click.IntRange(min=2), help="Use the first N tokens; all if not given.")
@click.option("--original", type=options.MODEL, help="Also KL divergence and top-1 agreement against this model.")
@options.activations
@options.head_bits
@options.cache_bits
@options.engine
@options.threads
@options.as_json
def command(model, text, context, tokens, original, engine, threads, as_json, **running):
    """Score a text with a model: the perplexity of windows that do not overlap."""
    from refq.app.engine import load
    from refq.jobs.perplexity import perplexity

    report = perplexity(model, text, load(engine, threads), context, tokens, original, **running)
    click.echo(json.dumps(report) if as_json else table(report))


def table(report):
    """The figures for a reader, one a line."""
    digits = {"perplexity": 4, "nats_per_token": 6, "bits_per_byte": 4, "kl": 6, "top1_agreement": 4}
    lines = [
        f"{name.replace('_', ' '):<15}{'infinite' if report[name] is None else format(report[name], f'.{places}f')}"
        for name, places in digits.items()
        if name in report
    ]
    scored, seconds, rate = (report[name] for name in ("tokens_scored", "seconds", "tokens_per_second"))
    lines.append(f"{'scored':<15}{scored} tokens in {report['windows']} windows, {seconds:.1f} s ({rate:.0f} tokens/s)")
    return "\n".join(lines)
