"""The arguments of fine-tuning, each by its rule: both engines run the same page."""

import numpy as np

from refq import checks
from refq.errors import GridError, ShapeError
from refq.training.codebook_student import CODEBOOK, EXEMPT, INDEX

ANSWERS = ("labels", "scores", "targets")


def student(params):
    """Each codebook beside the weight or the index, not both, of a matrix that may have one."""
    weights = {name.removesuffix(CODEBOOK) for name in params if name.endswith(CODEBOOK)}
    for name in sorted(weights):
        if name.startswith(EXEMPT):
            raise GridError(f"params has {name}{CODEBOOK}; the layer that classifies stays as it is")
        if (name in params) == (name + INDEX in params):
            raise GridError(f"params has {name}{CODEBOOK}; either {name}{INDEX} or {name} is needed beside it")
        shape = np.shape(params[name + CODEBOOK])
        if len(shape) != 2 or shape[0] != 1:
            raise ShapeError(f"{name}{CODEBOOK} has shape {shape}; (1, k) is needed, one codebook a weight")
    for name in params:
        if name.endswith(INDEX) and name.removesuffix(INDEX) not in weights:
            raise GridError(f"params has {name}, and no codebook for it")


def task(batch, params):
    """The answers that a batch has, of one kind, with what they need."""
    for key in ("tokens", "mask"):
        if key not in batch:
            raise GridError(f"the batch has no {key}")
    kinds = [kind for kind in ANSWERS if kind in batch]
    if len(kinds) != 1:
        raise GridError(f"the batch has {' and '.join(kinds) or 'no answers'}; one of {', '.join(ANSWERS)} is needed")
    mask = checks.same_shape("mask", batch["mask"], "tokens", np.shape(batch["tokens"]))
    if kinds == ["scores"]:
        _scores(batch["scores"], mask)
    weights = {name.removesuffix(CODEBOOK) for name in params}
    if kinds == ["labels"] and not {"classifier.weight", "classifier.bias", "pooler.dense.weight"} <= weights:
        raise GridError("the batch has labels; params needs a pooler, classifier.weight and classifier.bias")
    return kinds[0]


def _scores(scores, mask):
    if 2 * len(checks.finite("scores", np.asarray(scores, np.float64))) != len(mask):
        raise ShapeError(f"there are {len(scores)} scores; {len(mask)} rows of tokens need half as many")
    if np.min(scores) < 0 or np.max(scores) > 1:
        raise GridError(f"scores from {np.min(scores):g} to {np.max(scores):g}; 0..1 is needed")
    if not mask.any(axis=1).all():
        raise GridError("a row of mask has no token, and no mean state")
