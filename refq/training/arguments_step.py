"""The arguments of the training step, each by its rule: both engines run the same page."""

import numpy as np

from refq import checks
from refq.errors import GridError, ShapeError
from refq.training import arguments
from refq.training import arguments_optimizers as optimizers

TEACHER = {  # what a term needs of the batch, beside tokens and mask
    "kl": ("targets", "teacher_logits"),
    "ce": ("targets",),
    "reverse_kl": ("teacher_logits",),
    "js": ("teacher_logits",),
    "top_k_kl": ("teacher_log_probs", "teacher_indices"),
    "logit_mse": ("teacher_logits",),
    "logit_cosine": ("teacher_logits",),
    "hidden": ("teacher_hidden",),
    "attention": ("teacher_attention",),
}


def terms(losses):
    """Names of terms with coefficients above 0, at least one."""
    for name, coefficient in losses.items():
        if name not in TEACHER:
            raise GridError(f"losses has no term {name!r}; {', '.join(TEACHER)} are there")
        if not 0 < coefficient < float("inf"):
            raise GridError(f"the coefficient of {name} is {coefficient}; a finite number above 0 is needed")
    if not losses:
        raise GridError("losses is empty; at least one term is needed")


def numbers(recipe):
    """Each by the rule of the function that takes it, before any step, and whether that function is called or not."""
    own = recipe["float_learning_rate"] is not None
    for name in ["scale_learning_rate"] + ["float_learning_rate"] * own:
        optimizers.rates(recipe[name], recipe["weight_decay"], np.float32, name)
    adamw(recipe)
    optimizers.below_1("momentum", recipe["momentum"])
    optimizers.at_least_0("gradient_l1", recipe["gradient_l1"])
    arguments.moderate("temperature", recipe["temperature"])
    if checks.integer("parts", recipe["parts"]) < 1:
        raise GridError(f"parts={recipe['parts']}; 1 or more is needed")


def adamw(recipe):
    """Rate, decay, betas and eps."""
    optimizers.rates(recipe["learning_rate"], recipe["weight_decay"], np.float32)
    optimizers.adam(1, recipe["betas"], recipe["eps"], np.dtype(np.float32))


def batch(batch, losses, parts=1):
    """A batch that has what its terms need, and windows for parts of equal size."""
    needed = {key: name for name in losses for key in TEACHER[name]}
    for key, why in ({"tokens": "the model", "mask": "reduce_loss"} | needed).items():
        if key not in batch:
            raise GridError(f"the batch has no {key}, which {why} needs")
    if len(batch["tokens"]) % parts:
        raise ShapeError(f"parts={parts} does not divide the {len(batch['tokens'])} windows of the batch")
    if parts > 1 and not np.reshape(batch["mask"], (parts, -1)).any(axis=1).all():
        raise ShapeError(f"mask is false in the whole of one of {parts} parts; fewer parts do")


def frozen(names, params):
    """Names that params has: a misspelt one would be trained."""
    for name in names:
        if name not in params:
            raise GridError(f"frozen has {name!r}, which is none of params")


def quantized(name, weight, scale, zero_point):
    """A weight (out, in), scales (out or 1, groups) above 0, groups dividing in, and zero points like the scales."""
    arguments.above_zero(f"{name}_scale", checks.as_float_like(f"{name}_scale", scale, checks.as_float(name, weight)))
    if weight.ndim != 2 or scale.ndim != 2 or scale.shape[0] not in (1, len(weight)) or scale.shape[1] == 0:
        raise ShapeError(f"{name} {weight.shape} has scales {scale.shape}; (out, in) and (out or 1, groups) are needed")
    if weight.shape[1] % scale.shape[1]:
        raise ShapeError(f"{scale.shape[1]} scales a row do not divide the {weight.shape[1]} inputs of {name}")
    if zero_point is not None:
        checks.same_shape(f"{name}_zero_point", zero_point, f"{name}_scale", scale.shape)


def static_input(name, scale, zero_point, bits):
    """One scale above 0 and one zero point on its grid, (1,) each; bits: None where no input is quantized."""
    if bits is None or zero_point is None:
        raise GridError(
            f"params has {name}; a static grid belongs to a projection of a block, has an input_zero_point beside it, "
            "and needs its bits as recipe.activations"
        )
    bits, other = checks.bit_width(bits, largest=16), name.replace("scale", "zero_point")
    scale = checks.same_shape(name, checks.as_float(name, scale), "a static grid", (1,))
    zero_point = checks.same_shape(other, checks.as_integer(other, zero_point), "a static grid", (1,))
    checks.within(other, zero_point, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return arguments.above_zero(name, scale), zero_point


def as_many(name, teacher, student):
    """As many arrays of the teacher as the student has."""
    if len(teacher) != len(student):
        raise ShapeError(f"{name} has {len(teacher)} arrays; the student has {len(student)}")
    return teacher
