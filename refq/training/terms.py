"""The terms of a distillation loss: from the logits in one fused call, the others through the tape."""

import numpy as np

from refq import tape
from refq.training import arguments_step as arguments
from refq.training.activations import on_input_grids, quantized_inputs
from refq.training.trace import scores, states, traced

INSIDE = {"hidden", "attention"}  # terms that look at what a forward pass computes on its way


def loss_gradients(weights, names, batch, config, recipe, ops):
    """(losses, logits, gradients of the weights called `names`): one forward and backward pass for each part."""
    if recipe["parts"] == 1:
        return _of_part(weights, names, batch, config, recipe, ops)
    losses, logits, gradients = {}, [], None
    for part, share in _parts(batch, recipe):
        shares = {name: coefficient * share for name, coefficient in recipe["losses"].items()}
        found = _of_part(weights, names, part, config, recipe | {"losses": shares}, ops)
        losses = {name: losses.get(name, 0.0) + share * loss for name, loss in found[0].items()}
        logits.append(found[1])
        gradients = found[2] if gradients is None else {name: g + found[2][name] for name, g in gradients.items()}
    losses["loss"] = sum(coefficient * losses[name] for name, coefficient in recipe["losses"].items())
    return losses, np.concatenate(logits), gradients


def _parts(batch, recipe):
    """The windows of a batch in parts of equal size, and the share of each in a reduced loss."""
    count = len(batch["tokens"]) // recipe["parts"]
    weigh = np.count_nonzero if recipe["reduction"] == "token_mean" else len
    for start in range(0, len(batch["tokens"]), count):
        cut = slice(start, start + count)
        part = {
            key: [array[cut] for array in value] if isinstance(value, list) else value[cut]
            for key, value in batch.items()
        }
        yield part, weigh(part["mask"]) / weigh(batch["mask"])


def _of_part(weights, names, batch, config, recipe, ops):
    leaves = {name: tape.Tensor(weights[name]) for name in names}
    used = on_input_grids(weights | leaves, recipe["activations"])
    lifted, trace = traced(tape.lift(ops)) if INSIDE & set(recipe["losses"]) else (tape.lift(ops), None)
    logits = _tensor(ops.llama_forward(used, batch["tokens"], config, quantized_inputs(lifted)))
    losses, seeds = _from_logits(logits, batch, recipe, ops)
    for name, coefficient in recipe["losses"].items():
        if name not in ("kl", "ce"):
            loss = _tensor(_TERMS[name](logits, trace, batch, recipe, lifted))
            losses[name] = float(loss.value)
            seeds.append((loss, np.full((), coefficient, loss.dtype)))
    losses["loss"] = sum(coefficient * losses[name] for name, coefficient in recipe["losses"].items())
    found = tape.backward(seeds, list(leaves.values()))
    return losses, logits.value, dict(zip(leaves, found, strict=True))


def penalized(weights, used, names, batch, config, recipe, ops):
    """The l1 norm of the gradients of the weights called `names`, and all gradients with its own added.

    The Hessian times the signs of the gradient, as a difference of gradients on both sides.
    """
    epsilon = ops.gradient_l1_epsilon({name: weights[name] for name in names})
    steps = {name: ops.gradient_l1_direction(used[name], epsilon) for name in names}
    sides = []
    for sign in (1, -1):
        moved = weights | {name: weights[name] + sign * step for name, step in steps.items()}
        sides.append(loss_gradients(moved, list(used), batch, config, recipe, ops)[2])
    plus, minus = sides
    strength = recipe["gradient_l1"]
    extra = {name: ops.gradient_l1_gradient(plus[name], minus[name], epsilon, strength) for name in used}
    return sum(ops.gradient_l1(used[name]) for name in names), {name: g + extra[name] for name, g in used.items()}


def _from_logits(logits, batch, recipe, ops):
    """KL and cross-entropy with their gradient in one fused call."""
    kl, ce = (recipe["losses"].get(name, 0.0) for name in ("kl", "ce"))
    if kl + ce == 0:
        return {}, []
    weight = ops.reduce_loss_vjp(
        np.ones((), logits.dtype), np.zeros(logits.shape[:-1], logits.dtype), batch["mask"], recipe["reduction"]
    )
    teacher = batch["teacher_logits"] if kl else logits.value
    settings = kl / (kl + ce), recipe["temperature"], recipe["temperature_squared"]
    each = ops.kd_kl_and_grad(logits.value, teacher, batch["targets"], weight * weight.dtype.type(kl + ce), *settings)
    total = [float((weight * loss).sum(dtype=np.float64)) for loss in each[:2]]
    losses = {"kl": total[0], "ce": total[1]} if kl else {"ce": total[1]}
    return losses, [(logits, each[2])]


def _tensor(x):
    """Where everything that something depends on is frozen, it is a plain array."""
    return x if isinstance(x, tape.Tensor) else tape.Tensor(np.asarray(x))


def _reduced(loss, batch, recipe, ops):
    return ops.reduce_loss(loss, batch["mask"], recipe["reduction"])


def _of_logits(name, *settings):
    def term(logits, trace, batch, recipe, ops):
        loss = getattr(ops, name)(logits, batch["teacher_logits"], *(recipe[key] for key in settings))
        return _reduced(loss, batch, recipe, ops)

    return term


def _top_k(logits, trace, batch, recipe, ops):
    teacher = batch["teacher_log_probs"], batch["teacher_indices"]
    settings = recipe["temperature"], recipe["temperature_squared"], recipe["top_k_renormalize"]
    return _reduced(ops.top_k_kl(logits, *teacher, *settings), batch, recipe, ops)


def _hidden(logits, trace, batch, recipe, ops):
    student = states(trace)
    pairs = zip(student, arguments.as_many("teacher_hidden", batch["teacher_hidden"], student), strict=True)
    return sum((_reduced(ops.squared_error(x, y), batch, recipe, ops) for x, y in pairs), np.zeros((), logits.dtype))


def _attention(logits, trace, batch, recipe, ops):
    student = scores(trace, ops)
    pairs = zip(student, arguments.as_many("teacher_attention", batch["teacher_attention"], student), strict=True)
    errors = [ops.attention_map_error(x, y) for x, y in pairs]  # (B, K, R, T) each
    masks = [np.broadcast_to(batch["mask"][:, None, None], error.shape) for error in errors]
    reduced = (ops.reduce_loss(*pair, recipe["reduction"]) for pair in zip(errors, masks, strict=True))
    return sum(reduced, np.zeros((), logits.dtype))


_TERMS = {
    "reverse_kl": _of_logits("reverse_kl_divergence", "temperature", "temperature_squared"),
    "js": _of_logits("jensen_shannon_divergence", "temperature", "temperature_squared"),
    "top_k_kl": _top_k,
    "logit_mse": _of_logits("squared_error"),
    "logit_cosine": _of_logits("cosine_distance"),
    "hidden": _hidden,
    "attention": _attention,
}
