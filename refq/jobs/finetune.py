"""Fine-tuning of an encoder on a task, float or quantized first: the grid that is trained is the one that is stored."""

import functools
import hashlib
import math
import os
from typing import NamedTuple

import numpy as np

from refq import __version__
from refq.errors import CheckpointError, FormatError, GridError, UsageError
from refq.files.codebook import Codebooks, quantization_config
from refq.files.encoder import open_encoder
from refq.files.lines import CEILING
from refq.files.strict import read_bytes
from refq.jobs import output
from refq.jobs.encoder import load_encoder, padded
from refq.jobs.finetuned import with_head, with_shared_layers, write_model
from refq.jobs.inputs import check_inputs
from refq.jobs.progress import say, size
from refq.jobs.room import directory, opened
from refq.jobs.sentences import FIGURE, figures, open_task, predict
from refq.jobs.trainer import Log, Loop, csv, train
from refq.training.codebook_student import as_stored, start_student, used_weights
from refq.training.finetune import finetune_step

ORDER, ITEMS, HEAD, DRAWS = range(
    4
)  # what a seed is asked for: raw numbers of PCG64, which no version of NumPy changes


class Finetuning(NamedTuple):
    """What decides the result. (Threads, engine and paths do not.)

    bits: of an index of a codebook; None for a float fine-tuning.
    scheme: how codebooks are fitted: one of refq.training.codebook_student.SCHEMES.
    reduce: what an entry makes of the gradients of its members: "mean", as 2010.07109 (recalled, unverified), or "sum".
    requantize: weights are trained instead of entries, and requantized at every step: not the paper.
    share_layers: one layer serves for all, see with_shared_layers.
    items: of the task, drawn by the seed; 0 for all.
    tokens: of a text or pair at most, in training; where it is evaluated it keeps as many as the model has positions.
    """

    bits: int | None = None
    scheme: str = "kmeans"
    reduce: str = "mean"
    requantize: bool = False
    share_layers: bool = False
    items: int = 0
    tokens: int = 32
    epochs: int = 2
    batch: int = 16
    lr: float = 5e-5
    weight_decay: float = 0.01
    seed: int = 0


class Run(NamedTuple):
    """How a run is carried out, which does not decide its bytes: as distill_model's."""

    save_every: int = 50
    resume: bool = False
    overwrite: bool = False


def finetune_model(model, out, paths, engine, settings=Finetuning(), run=Run()):  # noqa: B008 (immutable)
    """Fine-tune an encoder, and write it as a Hugging Face directory.

    Parameters
        model: directory of a float BERT or ALBERT.
        out: the directory to write; it appears when it is whole.
        paths: (path, path or None): sets to train on and to validate on, see read_sentences.
        engine: refq or refq_fast.
        settings: Finetuning.
        run: Run.
    Returns
        (columns, history): their names, and float64 (steps + 1, columns); None if `out` was complete already.
    Raises
        UsageError: settings that this model or task cannot take.
        FileError: a model, a set, or a run to resume, that is not as it should be.
        NonFiniteError: the training diverged; names the step.
    """
    output.check_paths(model, out, run.resume or run.overwrite)
    check_settings(settings)
    checkpoint = open_encoder(model)
    if checkpoint.schemes:
        raise CheckpointError(f"{model}: the model is quantized already; give the float model")
    tasks = _tasks(checkpoint, paths, settings.tokens)
    digests, _ = check_inputs(checkpoint)
    named = zip(("task", "validation"), paths, strict=True)
    inputs = digests | {name: _digest(path) for name, path in named if path is not None}
    record = {"command": "finetune", "version": __version__, "settings": settings._asdict(), "inputs": inputs}
    needed = disk_needed(checkpoint)
    say(f"about {size(memory_needed(checkpoint, settings))} of memory and {size(needed)} of disk are needed")
    with opened((model, out), record, needed, run.resume, run.overwrite, directory(open_encoder)) as begun:
        if begun is None:
            return None
        config, params = start(checkpoint, tasks, settings, engine)
        loop = _loop(engine, config, tasks, settings)
        params, _, history = train(begun.room, loop._replace(save_every=run.save_every), params)
        write_model(begun.room, checkpoint, (config, as_stored(params, engine)), digests, record)
        log = csv(history, loop.log.columns).encode()
        output.write_file(os.path.join(begun.model, "training.csv"), log)
    return loop.log.columns, history


def start(checkpoint, tasks, settings, engine):
    """(config, parameters) before the first step."""
    config, weights = load_encoder(checkpoint.directory)
    if settings.share_layers:
        config, weights = with_shared_layers(config, weights)
    if tasks[0].kind == "classification":
        labels = 1 + max(task.answers.max() for task in tasks if task)
        config, weights = with_head(config, weights, max(2, int(labels)), [settings.seed, HEAD])
    if settings.bits is None:
        return config, weights
    draws = functools.partial(uniform, 2**settings.bits, settings.seed)
    try:
        params = start_student(weights, settings.scheme, settings.bits, draws, engine, settings.requantize)
    except GridError as error:
        raise CheckpointError(f"{checkpoint.directory}: {error}") from error
    scheme = Codebooks(settings.bits, "tensor", None, settings.scheme)
    kept = [] if config["num_labels"] is None else ["classifier"]
    return config | {"quantization": quantization_config(scheme, kept)}, params


def check_settings(settings):
    """Refuse Finetuning that contradicts itself."""
    if settings.requantize and settings.bits is None:
        raise UsageError("--requantize without --bits; there is nothing to requantize")
    if settings.requantize and not settings.scheme.startswith("kmeans"):
        raise UsageError(f"--requantize with --scheme {settings.scheme}; steps of Lloyd's algorithm need k-means")


def disk_needed(checkpoint):
    """Bytes of the result and of two states of training, at most."""
    return 2**20 + 4 * _weight_count(checkpoint) * (1 + 2 * 3)


def memory_needed(checkpoint, settings):
    """Bytes, roughly: ourselves, the tokens; weights, gradients and moments before and after a step; and one pass."""
    config, rows = checkpoint.config, 2 * settings.batch * settings.tokens
    layer = 30 * config["hidden_size"] + 8 * config["intermediate_size"]
    layer += 4 * config["num_attention_heads"] * settings.tokens
    return 300_000_000 + 4 * (10 * _weight_count(checkpoint) + rows * config["num_hidden_layers"] * layer)


def _tasks(checkpoint, paths, tokens):
    training, validation = paths
    tasks = [open_task(checkpoint.directory, checkpoint.config, training, tokens), None]
    if validation is not None:
        tasks[1] = open_task(checkpoint.directory, checkpoint.config, validation)
        if tasks[1].kind != tasks[0].kind:
            raise FormatError(f"{validation}: it is a set of {tasks[1].kind}; {training} is one of {tasks[0].kind}")
    return tasks


def _loop(engine, config, tasks, settings):
    task, held_out = tasks
    count = min(settings.items or len(task.answers), len(task.answers))
    chosen = np.argsort(_raw(len(task.answers), settings.seed, ITEMS), kind="stable")[:count]
    turns = math.ceil(count / settings.batch)

    def batch(number):
        epoch, turn = divmod(number, turns)
        order = chosen[np.argsort(_raw(count, settings.seed, ORDER, epoch), kind="stable")]
        return batch_of(task, order[turn * settings.batch : (turn + 1) * settings.batch])

    def evaluate(params):
        model = config, used_weights(params, engine)
        found = figures(held_out, predict(engine, model, held_out))[FIGURE[task.kind]]
        return math.nan if found is None else found

    steps = turns * settings.epochs
    recipe = {"reduce": settings.reduce, "learning_rate": settings.lr, "weight_decay": settings.weight_decay}
    step = functools.partial(finetune_step, config=config, recipe=recipe | {"steps": steps}, ops=engine)
    columns = ("step", "loss", "gradient_norm", "learning_rate", f"validation_{FIGURE[task.kind]}")
    log = Log(columns, _row, "items", "a lower --lr helps")
    return Loop(step, batch, settings.batch, steps, 50, turns, evaluate if held_out else None, log)


def batch_of(task, numbers):
    """What finetune_gradients takes, for some items of a Task."""
    if task.kind == "similarity":
        both, answers = np.concatenate([numbers, numbers + len(task.answers)]), {"scores": task.answers[numbers]}
    else:
        both, answers = numbers, {"labels": task.answers[numbers]}
    tokens, mask, types = padded([task.encoded[number] for number in both])
    return {"tokens": tokens, "mask": mask, "types": types} | answers


def uniform(count, seed, number):
    """Random numbers of k-means++ for the weight of this number, float64 (count,), 0 <= draws < 1."""
    return (_raw(count, seed, DRAWS, number) >> np.uint64(11)) * 2.0**-53


def _row(report):
    return [report["losses"]["loss"], report["norm"], report["learning_rate"]]


def _weight_count(checkpoint):
    return sum(math.prod(info.shape) for _, info in checkpoint.tensors.values())


def _raw(count, *stream):
    return np.random.PCG64(list(stream)).random_raw(count)


def _digest(path):
    return hashlib.sha256(read_bytes(path, CEILING, FormatError, named=True)).hexdigest()
