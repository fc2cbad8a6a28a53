"""refq pretrain: train the small LLaMA of the package anew."""

import functools
import json
import pathlib
import time

import click

import refq.world
from refq.app import options
from refq.jobs.pretrain import Pretraining, pretrain_model
from refq.jobs.trainer import COLUMNS
from refq.training.recompute import recomputing

TOKENIZER = pathlib.Path(refq.world.__file__).parent / "model"
_setting = functools.partial(options.setting, Pretraining())


@click.command()
@click.argument("out", type=click.Path())
@_setting("steps", options.COUNT, "Training steps.")
@_setting("batch", options.COUNT, "Windows a step.")
@_setting("context", click.IntRange(min=2), "Tokens a window.")
@_setting("lr", options.Real(min=0), "Learning rate, down to 0 along a cosine.")
@_setting("warmup", click.IntRange(min=0), "Steps of linear warm-up.")
@_setting("weight_decay", options.Real(min=0), "Of matrices.")
@_setting("seed", click.IntRange(min=0), "Of the first weights and of the stories.")
@_setting("eval_every", click.IntRange(min=0), "Steps between validations.")
@options.recompute
@options.save_every
@options.engine
@options.threads
@options.resume
@options.as_json
def command(out, recompute, save_every, engine, threads, resume, as_json, **settings):
    """Train a LLaMA of 1.9 million weights on stories of the small world, and write it into the new directory OUT.

    With the defaults: the model that the package brings.
    """
    from refq.app.engine import load

    started = time.monotonic()
    engine = load(engine, threads, training=True)
    engine = recomputing(engine) if recompute else engine
    history = pretrain_model(out, TOKENIZER, engine, Pretraining(**settings), save_every, resume)
    last = dict(zip(COLUMNS, history[-1].tolist(), strict=True))
    report = {"out": out, "loss": last["loss"], "validation_perplexity": last["validation_perplexity"]}
    report["seconds"] = round(time.monotonic() - started, 3)
    text = f"validation perplexity {report['validation_perplexity']:.4f}\n\n{out}: written in {report['seconds']:.1f} s"
    click.echo(json.dumps(report) if as_json else text)
