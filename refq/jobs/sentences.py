"""Sets of sentences through an encoder: labels predicted, or likenesses of pairs, and the figures that fit."""

import math
import os
from typing import NamedTuple

import numpy as np

from refq.errors import FormatError, NonFiniteError, UsageError
from refq.files.sentences import BEST, read_sentences
from refq.jobs import metrics
from refq.jobs.encoder import encode_texts, load_encoder, sentence_vectors, states

FIGURE = {"classification": "accuracy", "similarity": "spearman"}  # the one that a run is judged by


class Task(NamedTuple):
    """A set as a model takes it.

    kind: "classification" or "similarity".
    encoded: list of (ids, types): a text or pair each; for similarity the first sentences, then the second ones.
    answers: labels int64, or scores float64 from 0 to 1, (items,).
    """

    kind: str
    encoded: list
    answers: np.ndarray


def open_task(directory, config, path, tokens=None):
    """Read and encode a set.

    Parameters
        directory, config: of the model.
        path: of the set, see read_sentences.
        tokens: of a text or pair at most; None for as many as the model has positions.
    """
    kind, texts, answers = read_sentences(path)
    if kind == "similarity":
        texts = [pair[place] for place in (0, 1) for pair in texts]
        answers = np.array(answers) / BEST
    return Task(kind, encode_texts(directory, config, texts, tokens), np.asarray(answers))


def predict(engine, model, task):
    """A label for each item, int64, or the cosine of its sentences' mean states, float64.

    Parameters
        model: (config, params), params with a classifier where the task is one.
    Raises
        NonFiniteError: a state or logit is not finite.
    """
    config, params = model
    if task.kind == "similarity":
        vectors = sentence_vectors(engine, model, task.encoded).astype(np.float64)
        first, second = vectors.reshape(2, len(task.answers), -1)
        return 1 - engine.cosine_distance(first, second)
    labels = np.zeros(len(task.answers), np.int64)
    for numbers, _, _, pooled in states(engine, model, task.encoded):
        logits = engine.linear(pooled, params["classifier.weight"], params["classifier.bias"])
        if not np.isfinite(logits).all():
            raise NonFiniteError("a logit is not finite; the model's must be")
        labels[numbers] = logits.argmax(axis=1)
    return labels


def figures(task, predicted):
    """The metrics that fit, by name: f1 for two labels alone; None where one is not defined."""
    if task.kind == "classification":
        names = ("accuracy", "f1", "matthews") if max(*predicted, *task.answers) < 2 else ("accuracy", "matthews")
    else:
        names = ("pearson", "spearman")
    found = {name: getattr(metrics, name)(predicted, task.answers) for name in names}
    return {name: None if math.isnan(value) else value for name, value in found.items()}


def evaluate_sentences(directory, path, engine):
    """Score a set of sentences with an encoder.

    Parameters
        directory: the model.
        path: of the set, see read_sentences.
        engine: refq or refq_fast.
    Returns
        dict: task, its name; kind; items; and the figures. Texts longer than the model's positions lose their end.
    Raises
        FileError: a model or set that cannot be read.
        UsageError: a model without the head that the set needs.
        NonFiniteError: a state is not finite.
    """
    config, params = load_encoder(directory)
    task = open_task(directory, config, path)
    check_labels(task, config, path, directory)
    report = {"task": os.path.splitext(os.path.basename(path))[0], "kind": task.kind, "items": len(task.answers)}
    return report | figures(task, predict(engine, (config, params), task))


def check_labels(task, config, path, directory):
    """Refuse labels that the model's classifier does not have."""
    if task.kind == "similarity":
        return
    if config["num_labels"] is None:
        raise UsageError(f"{directory}: the model has no classifier, which labels need; refq finetune makes one")
    if task.answers.max() >= config["num_labels"]:
        raise FormatError(
            f"{path}: there is a label {task.answers.max()}; {directory} knows 0..{config['num_labels'] - 1}"
        )
