"""Quantization-aware distillation of a model directory: the grid that is trained is the grid that is stored."""

import functools
import math
import os
from typing import NamedTuple

import numpy as np

from refq.errors import UsageError
from refq.files.checkpoint import open_checkpoint
from refq.jobs import output
from refq.jobs.beside import bytes_needed, write_small_files
from refq.jobs.corpus import batch_at, open_texts, windows_in
from refq.jobs.distillation import Distillation, recipe_of
from refq.jobs.input_grids import calibrated, plan_inputs
from refq.jobs.inputs import check_inputs
from refq.jobs.layer import Source
from refq.jobs.model import load_model
from refq.jobs.perplexity import cut_windows, score
from refq.jobs.plan import Options, plan_files, plan_schemes
from refq.jobs.progress import say, size
from refq.jobs.quantize import run_record
from refq.jobs.room import opened
from refq.jobs.shards import plan_shards, write_shards
from refq.jobs.teacher import Cache, cache_size, taught
from refq.jobs.text import cut_documents, memory_of_texts
from refq.jobs.trained import as_checkpoint, as_loaded
from refq.jobs.trainer import Loop, csv, train
from refq.training.recompute import recomputing
from refq.training.step import kd_step
from refq.training.student import SCALE, ZERO_POINT, ov_freeze
from refq.training.terms import INSIDE


class Run(NamedTuple):
    """How a run is carried out, which does not decide its bytes.

    save_every: steps between two checkpoints.
    resume, overwrite: as quantize_model has them.
    teacher_cache: a directory, if the distillation is `cached`.
    recompute: blocks are computed again on the way back: less memory, more time, the same bytes.
    watch: function of the student's parameters and its recipe, called wherever the student is, or would be, validated.
    """

    save_every: int = 50
    resume: bool = False
    overwrite: bool = False
    teacher_cache: str | None = None
    recompute: bool = False
    watch: object = None


def distill_model(teacher, out, texts, engine, options=Options(), training=Distillation(), run=Run()):  # noqa: B008
    """Train a low-bit student of a float model, and write it as quantize would.

    Parameters
        teacher: directory of a float model; the student starts as its quantized copy.
        out: the directory to write; it appears when it is whole.
        texts: (path, path or None): UTF-8 files to train on and to validate on, see refq.jobs.corpus.
        engine: refq or refq_fast.
        options: Options of quantize: the grids, and how they start.
        training: Distillation.
        run: Run.
    Returns
        history: float64, the columns of refq.jobs.trainer.COLUMNS; None if `out` was complete already.
    Raises
        UsageError: settings that this model or text cannot take.
        GridError: a setting out of its range.
        FileError: a model, a text, or a run to resume, that is not as it should be.
        NonFiniteError: the training diverged; names the step.
    """
    output.check_paths(teacher, out, run.resume or run.overwrite)
    checkpoint, recipe = open_checkpoint(teacher), _recipe(options, training, run)
    schemes = plan_inputs(plan_schemes(checkpoint, options), checkpoint.config, training)
    digests, _ = check_inputs(checkpoint)
    texts = open_texts(checkpoint, texts)
    record = run_record(options, digests | texts.digests) | {"command": "distill", "training": training._asdict()}
    shards = plan_shards(plan_files(checkpoint, schemes), record)
    needed = bytes_needed(checkpoint, shards) + 20 * weight_count(checkpoint)
    memory = memory_needed(checkpoint, training, [texts], run.recompute)
    say(f"about {size(memory)} of memory and {size(needed)} of disk are needed")
    texts = cut_texts(checkpoint, texts, training)
    shape = windows_in(texts[0], training.context), training.context, checkpoint.config["vocab_size"]
    if training.cached:
        logits = cache_size(shape, training.top_k, training.steps * training.batch)
        say(f"about {size(logits)} of disk are needed in {run.teacher_cache} for the teacher's logits")
    with opened((teacher, out), record, needed, run.resume, run.overwrite) as begun:
        if begun is None:
            return None
        weights = load_model(teacher, engine)[1]
        params, recipe = start_student(weights, schemes, options, recipe, training.freeze, engine)
        if training.activation_range == "tensor":
            params, recipe = calibrated(params, recipe, texts[0], training, checkpoint.config, engine)
        cache = _cache(run.teacher_cache, record, shape) if training.cached else None
        loop = _loop(engine, (checkpoint, weights), recipe, (*texts, cache), training, run)
        params, _, history = train(begun.room, loop, params)
        student = as_checkpoint(checkpoint, params, recipe, engine)
        source = Source(student, engine, options, student.grids, student.inputs)
        write_shards(begun.room, shards, source, record, begun.done)
        output.write_file(os.path.join(begun.model, "training.csv"), csv(history).encode())
        write_small_files(checkpoint, schemes, shards, begun.model, digests)
    return history


def cut_texts(checkpoint, texts, training):
    """(tokens to train on, windows to validate on or None) of Texts."""
    positions = checkpoint.config["max_position_embeddings"]
    if not 2 <= training.context <= positions:
        raise UsageError(f"--context {training.context}; this model takes 2..{positions}")
    if training.top_k > checkpoint.config["vocab_size"]:
        raise UsageError(f"--top-k {training.top_k}; this model has {checkpoint.config['vocab_size']} tokens")
    tokens, held_out = cut_documents(texts.documents, texts.tokenizer), None
    windows_in(tokens, training.context, texts.paths[0])
    if texts.held_out is not None:
        found = cut_documents(texts.held_out, texts.tokenizer)[: training.val_tokens or None]
        held_out = cut_windows(found, training.context)
        if not len(held_out):
            raise UsageError(f"{texts.paths[1]}: it is shorter than one window of --context {training.context}")
    return tokens, held_out


def start_student(weights, schemes, options, recipe, freeze, engine):
    """The parameters before the first step: the teacher's weights, and the grids that quantize would give them.

    Returns
        params: dict of arrays, see refq.training.student.
        recipe: with the names of what is frozen.
    """
    qmin, qmax = engine.integer_range(options.bits)
    params = dict(weights)
    for layer, scheme in schemes.items():
        w = weights[f"{layer}.weight"]
        groups = (
            engine.to_groups(w, axis=None) if scheme.strategy == "tensor" else engine.to_groups(w, scheme.group_size)
        )
        fit = getattr(engine, options.range)
        scale, zero_point = fit(groups, qmin, qmax, options.symmetric, scale_dtype="float16")
        params[f"{layer}.weight{SCALE}"] = scale.reshape(len(scale), -1)
        if not options.symmetric:
            params[f"{layer}.weight{ZERO_POINT}"] = zero_point.reshape(len(scale), -1)
    frozen = []
    if freeze:
        params, frozen = ov_freeze(params, qmin, qmax, freeze)
    return params, recipe | {"frozen": frozen}


def weight_count(checkpoint):
    """Weights of the model."""
    return sum(math.prod(info.shape) for _, info in checkpoint.tensors.values())


def memory_needed(checkpoint, training, texts, recompute=False):
    """Bytes, roughly: ourselves and the texts; and then either what the tokenizer makes of the largest that it is given
    at once, or weights, gradients, moments and codes of the student, the teacher, and one pass of both.

    Parameters
        texts: list of Texts.
    """
    config, rows = checkpoint.config, training.batch * training.context
    layer = 12 * config["hidden_size"] + 6 * config["intermediate_size"]
    layers = config["num_hidden_layers"]
    passes = layers * config["hidden_size"] + layer if recompute else layers * layer
    passes = rows // training.parts * (passes + 4 * config["vocab_size"]) + rows * 4 * config["vocab_size"]
    documents = [part for text in texts for part in (*text.documents, *(text.held_out or ()))]
    kept, cutting = memory_of_texts(documents, texts[0].tokenizer)
    return 200_000_000 + kept + max(cutting, 4 * (9 * weight_count(checkpoint) + passes))


def _cache(directory, record, shape):
    training = record["training"]
    identity = {key: digest for key, digest in record["inputs"].items() if key != "validation"}
    return Cache(directory, {"inputs": identity, "temperature": training["temperature"]}, shape, training["top_k"])


def _recipe(options, training, run):
    recipe = recipe_of(options, training)
    if run.recompute and INSIDE & set(recipe["losses"]):
        raise UsageError(f"--recompute with --loss {training.loss}, which looks into the blocks; leave one away")
    return recipe


def _loop(engine, teacher, recipe, texts, training, run):
    checkpoint, weights = teacher
    tokens, held_out, cache = texts
    teacher = checkpoint.config, weights

    def batch(number):
        shape = training.batch, training.context, training.seed
        now, targets, numbers = batch_at(tokens, number, *shape, shift=cache is None)
        found = {"tokens": now, "targets": targets, "mask": np.ones(now.shape, bool)}
        if cache is None:
            return found | taught(engine, teacher, now, recipe, training.top_k)
        return found | cache.taught(
            numbers, lambda at: taught(engine, teacher, now[at : at + 1], recipe, training.top_k)
        )

    def evaluate(params):
        model = as_loaded(as_checkpoint(checkpoint, params, recipe, engine), recipe, engine)
        nats = score(engine, [model], held_out)[0]
        nats /= held_out.size - len(held_out)
        return math.exp(nats) if nats < 700 else math.inf

    ops, count = recomputing(engine) if run.recompute else engine, training.batch * training.context
    step = functools.partial(kd_step, config=checkpoint.config, recipe=recipe, ops=ops)
    watched = _watched(None if held_out is None else evaluate, run.watch, recipe)
    return Loop(step, batch, count, training.steps, run.save_every, training.eval_every, watched)


def _watched(evaluate, watch, recipe):
    if watch is None:
        return evaluate
    return lambda params: (watch(params, recipe), evaluate(params) if evaluate else math.nan)[1]
