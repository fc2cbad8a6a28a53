"""refq distill: a float model in, a low-bit model out that was trained to behave like it."""

import functools
import json
import math
import time

import click

from refq.app import options
from refq.app.signals import resumable
from refq.jobs.distill import Run, distill_model
from refq.jobs.distillation import Distillation
from refq.jobs.plan import Options
from refq.jobs.trainer import COLUMNS

FREEZE = ("q", "k", "v", "o", "gate", "up", "down")


class Freeze(click.ParamType):
    """Projections joined by commas; none; or all."""

    name = "o,v|none|all"

    def convert(self, value, param, ctx):
        if not isinstance(value, str):
            return value
        names = {"none": (), "all": FREEZE}.get(value, tuple(value.split(",")))
        if not set(names) <= set(FREEZE):
            self.fail(f"{value!r}: names out of {', '.join(FREEZE)} joined by commas, or none, or all", param, ctx)
        return tuple(sorted(set(names)))


_setting, REAL = functools.partial(options.setting, Distillation()), options.Real(min=0)


@click.command()
@click.argument("teacher", type=options.DIRECTORY)
@click.argument("out", type=click.Path())
@click.option(
    "--text",
    type=options.FILE,
    required=True,
    help="A UTF-8 file to train on; lines of <|endoftext|> divide its documents.",
)
@click.option("--val", type=options.FILE, help="A UTF-8 file to validate on.")
@click.option("--bits", type=click.IntRange(2, 8), default=4, show_default=True, help="Bits of a code.")
@options.group_size("channel", "Weights that share a scale.")
@options.symmetric
@options.rule("The rule that the scales start from.")
@options.fallback
@click.option("--keep", multiple=True, metavar="PATTERN", help="Layers that stay float, as in quantize.")
@_setting("freeze", Freeze(), "Projections fixed at their quantized values.")
@_setting("loss", str, "Terms joined by +, each with an optional factor: kl+0.1*hidden.")
@_setting("alpha", options.Real(0, 1), "Share of kl in ce+kl.")
@_setting("temperature", options.Real(1 / 1024, 1024), "Of the softmax of teacher and student.")
@_setting("reduction", click.Choice(("token_mean", "batchmean")), "What a loss is averaged over.")
@_setting("quantizer", click.Choice(("lsq", "straight_through", "soft")), "How gradients pass the rounding.")
@click.option(
    "--activations",
    type=click.IntRange(4, 16),
    help="Bits of the input of every linear layer but the head; float if not given.",
)
@_setting(
    "activation_range",
    click.Choice(("token", "tensor")),
    "A grid a token, measured each time; or one a layer, calibrated by min-max, then trained and stored.",
)
@_setting("optimizer", click.Choice(("adamw", "adam", "sgd")), "The optimizer.")
@_setting(
    "schedule",
    click.Choice(("cosine", "linear", "constant", "talr")),
    "Of the learning rate; talr steers transition rates.",
)
@_setting("steps", options.COUNT, "Training steps.")
@_setting("batch", options.COUNT, "Windows a step.")
@_setting(
    "parts", options.COUNT, "Parts in which they pass, one after the other: less memory, the same but for rounding."
)
@_setting("context", click.IntRange(min=2), "Tokens a window.")
@_setting("lr", REAL, "Learning rate.")
@_setting("scale_lr", REAL, "Learning rate of the scales; of those of inputs relative to them.")
@_setting("float_lr", REAL, "Learning rate of what stays float: embedding, norms, biases, head; --lr if not given.")
@_setting("beta1", options.Real(0, 1, max_open=True), "Of Adam: what a step keeps of the mean gradient.")
@_setting("beta2", options.Real(0, 1, max_open=True), "Of Adam: what a step keeps of the mean square.")
@_setting("weight_decay", REAL, "Of matrices.")
@_setting("warmup", click.IntRange(min=0), "Steps of linear warm-up.")
@_setting("clip", REAL, "Largest norm of the gradient; 0 for none.")
@_setting("tr_lambda", REAL, "Initial target of the transition rate, times sqrt(bits).")
@_setting("tr_scope", click.Choice(("layer", "global")), "Whose transition rate is steered.")
@_setting("seed", click.IntRange(min=0), "Of the order of the windows.")
@_setting("eval_every", click.IntRange(min=0), "Steps between validations; 0 for the two ends alone.")
@_setting("val_tokens", click.IntRange(min=0), "Use the first N tokens of the validation text; 0 for all.")
@_setting("lts", click.Choice(("none", "constant", "linear", "sine")), "Freeze weights that have settled on a level.")
@_setting("gradient_l1", REAL, "Strength of the penalty on the l1 norm of the gradient.")
@_setting("top_k", click.IntRange(min=0), "Logits of the teacher that top_k_kl is given.")
@click.option("--teacher-cache", type=click.Path(file_okay=False), help="Keep the teacher's logits in this directory.")
@options.recompute
@options.save_every
@options.engine
@options.threads
@options.resume
@options.overwrite
@options.as_json
def command(
    teacher,
    out,
    text,
    val,
    rule,
    recompute,
    save_every,
    teacher_cache,
    engine,
    threads,
    resume,
    overwrite,
    as_json,
    **settings,
):
    """Train a low-bit copy of the float model TEACHER to behave like it, and write it into the new directory OUT.

    OUT is what `refq quantize` writes, with other weights; training.csv in it is the log of the run.
    """
    from refq.app.engine import load

    started = time.monotonic()
    settings["cached"] = teacher_cache is not None
    chosen = Options(range=rule, **{name: settings.pop(name) for name in set(Options._fields) - {"range", "method"}})
    training = Distillation(**settings)
    with resumable(out):
        run = Run(save_every, resume, overwrite, teacher_cache, recompute)
        history = distill_model(teacher, out, (text, val), load(engine, threads, training=True), chosen, training, run)
    report = {"out": out, "written": history is not None, "seconds": round(time.monotonic() - started, 3)}
    if history is not None:
        report |= {"first": _row(history[0]), "last": _row(history[-1])}
    click.echo(json.dumps(report) if as_json else _text(report))


def _row(row):
    return {name: value if math.isfinite(value) else None for name, value in zip(COLUMNS, row.tolist(), strict=True)}


def _text(report):
    if not report["written"]:
        return f"{report['out']}: complete already, nothing written"
    lines = [f"{'loss':<24}{report['last']['loss']:.4f}"]
    before, after = (report[end]["validation_perplexity"] for end in ("first", "last"))
    if None not in (before, after):
        lines.append(f"{'validation perplexity':<24}{before:.4f} quantized, {after:.4f} distilled")
    return "\n".join([*lines, "", f"{report['out']}: written in {report['seconds']:.1f} s"])
