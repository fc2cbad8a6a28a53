"""The arguments of the losses, each by its rule. Both packages call these, so their errors cannot diverge."""

import numpy as np

from refq import checks
from refq.errors import DtypeError, GridError, ShapeError
from refq.ops import arguments
from refq.training.arguments import moderate

REDUCTIONS = ("token_mean", "batchmean")


def logits(student_logits, teacher_logits, temperature):
    """Two arrays (..., V) of one shape and dtype, and a temperature of 1/1024..1024 as a number of their dtype."""
    student, teacher = states(student_logits, teacher_logits, "_logits")
    return student, teacher, _temperature(temperature, student)


def states(student, teacher, kind=""):
    """Two arrays (..., D) of one shape and dtype."""
    names = f"student{kind}", f"teacher{kind}"
    student = arguments.last_axis(names[0], checks.as_float(names[0], student))
    teacher = checks.as_float_like(names[1], teacher, student)
    return student, checks.same_shape(names[1], teacher, names[0], student.shape)


def incoming(g, x):
    """The gradient of a loss a position: the dtype of x, its shape without the last axis."""
    return arguments.incoming(g, x, x.shape[:-1])[..., None]


def distillation(student_logits, teacher_logits, targets, weight, alpha, temperature):
    """Logits and temperature as `logits` takes them, targets (...) in 0..V-1, weight (...), alpha 0..1."""
    student, teacher, temperature = logits(student_logits, teacher_logits, temperature)
    student, targets = arguments.cross_entropy(student, targets)
    weight = np.asarray(checks.as_float_like("weight", weight, student))
    checks.same_shape("weight", weight, "student_logits", targets.shape)
    return student, teacher, targets, weight, student.dtype.type(_share("alpha", alpha)), temperature


def top_k(teacher_logits, k, temperature):
    """Logits (..., V), k of 1..V, and a temperature of 1/1024..1024 in their dtype."""
    teacher = arguments.last_axis("teacher_logits", checks.as_float("teacher_logits", teacher_logits))
    if not 1 <= checks.integer("k", k) <= teacher.shape[-1]:
        raise ShapeError(f"k={k}; 1..{teacher.shape[-1]} is needed, as many as there are classes")
    return teacher, int(k), _temperature(temperature, teacher)


def top_k_kl(student_logits, teacher_log_probs, indices, temperature):
    """Student logits (..., V), log-probabilities and classes (..., k), and a temperature above 0 in their dtype."""
    student = arguments.last_axis("student_logits", checks.as_float("student_logits", student_logits))
    indices = arguments.last_axis("indices", arguments.indices("indices", indices, student.shape[-1]))
    log_probs = checks.as_float_like("teacher_log_probs", teacher_log_probs, student)
    checks.same_shape("teacher_log_probs", log_probs, "indices", indices.shape)
    checks.same_shape("indices", indices, "student_logits", (*student.shape[:-1], indices.shape[-1]))
    return student, log_probs, indices, _temperature(temperature, student)


def reduction(losses, mask, how):
    """Losses of any shape, a mask of the same, and the number that their sum is divided by."""
    losses = checks.as_float("losses", losses)
    mask = np.asarray(mask)
    if mask.dtype != bool:
        raise DtypeError(f"mask is {mask.dtype}; bool is needed")
    checks.same_shape("mask", mask, "losses", losses.shape)
    if how not in REDUCTIONS:
        raise GridError(f"reduction={how!r}; one of {', '.join(REDUCTIONS)} is needed")
    if how == "batchmean" and losses.ndim == 0:
        raise ShapeError("losses has no axis; batchmean divides by the length of the first one")
    count = np.count_nonzero(mask) if how == "token_mean" else len(losses)
    if count == 0:
        raise ShapeError(f"losses of shape {losses.shape} hold nothing to average; at least one position is needed")
    return losses, mask, losses.dtype.type(count)


def scalar(g, losses):
    """The gradient of a single number, in the dtype of the losses."""
    return arguments.incoming(g, losses, ())


def _temperature(temperature, x):
    return x.dtype.type(moderate("temperature", temperature))


def _share(name, value):
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        raise DtypeError(f"{name} is {type(value).__name__}; a number is needed")
    if not 0 <= value <= 1:
        raise GridError(f"{name}={value}; 0..1 is needed")
    return value
