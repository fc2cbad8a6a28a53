"""refq generate: continue a prompt."""

import sys

import click

from refq.app import options
from refq.errors import UsageError


@click.command()
@options.readable_model
@click.option("--prompt", default="", help="The text to continue; empty for the model's start token alone.")
@click.option("--max-tokens", type=click.IntRange(min=1), default=200, show_default=True, help="New tokens at most.")
@click.option(
    "--temperature",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="0: always the likeliest token.",
)
@click.option(
    "--top-p",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="Share of probability to draw from.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the random numbers.")
@options.activations
@options.head_bits
@options.cache_bits
@options.engine
@options.threads
@click.option("--stats", is_flag=True, help="Prefill and decode tokens per second, on stderr.")
def command(model, prompt, activations, head_bits, cache_bits, engine, threads, stats, **sampling):
    """Continue a prompt. Standard output is the prompt and its continuation, and nothing else.

    On a terminal a line end follows.
    """
    from refq.app.engine import load
    from refq.files.tokenizer import StreamDecoder, open_tokenizer, special_ids
    from refq.jobs.generate import Sampling, check_request, generate
    from refq.jobs.running import open_model

    engine = load(engine, threads)
    loaded = open_model(model, engine, activations, head_bits, cache_bits)
    tokenizer = open_tokenizer(model, loaded[0]["vocab_size"])
    bos, ends = special_ids(model, loaded[0], tokenizer)
    tokens = _tokens(tokenizer, prompt, bos)
    stream, sampling = StreamDecoder(tokenizer), Sampling(**sampling)
    check_request(loaded[0], tokens, sampling)
    if sampling.temperature == 0 and sampling.top_p < 1:
        click.echo("refq: --top-p has no effect at temperature 0", err=True)

    def emit(token):
        _write(stream.push(token))

    if stats:
        _warm(engine, loaded, tokens)
    try:
        _write("".join(map(stream.push, tokens)))
        report = generate(engine, loaded, tokens, ends, sampling, emit)
        _write(stream.flush())
    finally:
        if sys.stdout.isatty():
            _write("\n")  # what comes next on the terminal starts a line of its own
    if report.reason == "positions":
        click.echo(f"refq: stopped at the model's last position, {loaded[0]['max_position_embeddings']}", err=True)
    if stats:
        click.echo(_rates(len(tokens), report), err=True)


def _tokens(tokenizer, prompt, bos):
    try:
        prompt.encode()
    except UnicodeEncodeError:
        raise UsageError("the prompt is not UTF-8") from None
    tokens = tokenizer.encode(prompt) or [token for token in [bos] if token is not None]
    if not tokens:
        raise UsageError("this model has no start token; a prompt is needed")
    return tokens


def _write(text):
    """UTF-8 whatever the locale, at once."""
    sys.stdout.buffer.write(text.encode())
    sys.stdout.buffer.flush()


def _warm(engine, model, tokens):
    """One step of each kind that nobody counts: it loads or compiles the kernels."""
    from refq.jobs.generate import Sampling, generate

    generate(engine, model, tokens[:64], (), Sampling(max_tokens=2), lambda token: None)


def _rates(prompt, report):
    steps = len(report.tokens) - (report.reason != "end")
    decode = f"{steps / report.decode_seconds:.1f} tokens/s ({steps} tokens)" if steps > 0 else "nothing to measure"
    return f"prefill {prompt / report.prefill_seconds:.1f} tokens/s ({prompt} tokens), decode {decode}"
