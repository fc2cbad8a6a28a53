"""What a distillation is asked to do, and the recipe of its steps."""

import math
from typing import NamedTuple

from refq.errors import UsageError
from refq.jobs.teacher import CACHED
from refq.training.arguments_step import TEACHER
from refq.training.recipe import complete

TERMS = tuple(TEACHER)
SHARED = {"quantizer", "activations", "temperature", "reduction", "parts", "gradient_l1"}  # with a recipe
SHARED |= {"optimizer", "weight_decay", "warmup", "steps"}


class Distillation(NamedTuple):
    """What decides how the student is trained. (Threads, engine and paths do not.)

    freeze: projections whose weights and ranges stay at their quantized values: o and v is ov-freeze.
    loss: terms joined by +, each with a coefficient before a *, as "kl+0.1*hidden"; in "ce+kl" alone they weigh
        1 - alpha and alpha.
    top_k: how many logits of the teacher top_k_kl is given.
    activation_range: "token", each with a grid of its own; or "tensor", static grids that are calibrated and trained.
    lts: "none", or the growth of the threshold at which settled weights are frozen.
    val_tokens: how many tokens of the validation text are used; 0 for all.
    cached: the teacher's logits come from a cache on disk, rounded to float16; the text is then always cut alike.
    The others are settings of refq.training.recipe.RECIPE, and of the text.
    """

    freeze: tuple = ("o", "v")
    loss: str = "kl"
    alpha: float = 0.5
    temperature: float = 1.0
    reduction: str = "token_mean"
    top_k: int = 0
    gradient_l1: float = 0.0
    parts: int = 1
    quantizer: str = "lsq"
    activations: int | None = None
    activation_range: str = "token"
    optimizer: str = "adamw"
    schedule: str = "cosine"
    steps: int = 300
    batch: int = 16
    context: int = 256
    lr: float = 1e-3
    scale_lr: float = 1e-4
    float_lr: float | None = None
    beta1: float = 0.9
    beta2: float = 0.999
    weight_decay: float = 0.0
    warmup: int = 0
    clip: float = 1.0
    tr_lambda: float = 5e-3
    tr_scope: str = "layer"
    lts: str = "none"
    cached: bool = False
    seed: int = 0
    eval_every: int = 0
    val_tokens: int = 0


def recipe_of(options, training):
    """The recipe of kd_step; `frozen` is filled by start_student."""
    if options.method != "affine":
        raise UsageError(f"--method {options.method}; distillation trains affine grids alone")
    losses = parse_loss(training.loss, training.alpha)
    if ("top_k_kl" in losses) != (training.top_k > 0):
        raise UsageError(
            f"--top-k {training.top_k} with --loss {training.loss}; the term top_k_kl and --top-k go together"
        )
    if training.warmup > training.steps:
        raise UsageError(f"--warmup {training.warmup} with --steps {training.steps}; at most as many can be warm-up")
    if training.cached and not CACHED.issuperset(losses):
        raise UsageError(f"--teacher-cache holds logits; --loss {training.loss} asks for more")
    if training.cached and losses.keys() == {"ce"}:
        raise UsageError(f"--teacher-cache with --loss {training.loss}, which asks a teacher nothing; leave it away")
    if training.cached and training.top_k and not losses.keys() <= {"ce", "top_k_kl"}:
        raise UsageError(f"--teacher-cache holds {training.top_k} logits a token; --loss {training.loss} asks for all")
    if training.batch % training.parts:
        raise UsageError(f"--parts {training.parts} with --batch {training.batch}; the parts must be of equal size")
    talr = training.schedule == "talr"
    return complete(
        {name: getattr(training, name) for name in sorted(SHARED)}
        | {
            "bits": options.bits,
            "losses": losses,
            "learning_rate": training.lr,
            "scale_learning_rate": training.scale_lr,
            "float_learning_rate": training.float_lr,
            "betas": [training.beta1, training.beta2],
            "clip": training.clip or None,
            "schedule": "cosine" if talr else training.schedule,
            "transition": {"strength": training.tr_lambda, "scope": training.tr_scope} if talr else None,
            "lottery": None if training.lts == "none" else {"growth": training.lts, "warmup": training.steps // 5},
        }
    )


def parse_loss(text, alpha):
    """Terms and coefficients.

    >>> parse_loss("kl+0.1*hidden", 0.5)
    {'kl': 1.0, 'hidden': 0.1}
    >>> parse_loss("ce+kl", 0.75)
    {'ce': 0.25, 'kl': 0.75}
    """
    losses = {}
    for part in text.split("+"):
        factor, star, name = part.strip().rpartition("*")
        try:
            coefficient = float(factor) if star else 1.0
        except ValueError:
            coefficient = math.nan
        if name not in TERMS or name in losses or not 0 < coefficient < math.inf:
            raise UsageError(f"--loss {text}: {part!r} is no term, or is there twice; the terms are {', '.join(TERMS)}")
        losses[name] = coefficient
    if losses == {"kl": 1.0, "ce": 1.0}:
        shares = {name: alpha if name == "kl" else 1 - alpha for name in losses}
        return {name: share for name, share in shares.items() if share}
    return losses
