"""The terms of a distillation loss: from the logits in one fused call, the others through the tape."""

import numpy as np

from refq import tape
from refq.training.activations import quantized_inputs
from refq.training.trace import scores, states, traced


def loss_gradients(weights, names, batch, config, recipe, ops):
    """(losses, logits, gradients of the weights called `names`) of one forward and backward pass."""
    leaves = {name: tape.Tensor(weights[name]) for name in names}
    lifted, trace = traced(tape.lift(ops))
    page_ops = lifted if recipe["activations"] is None else quantized_inputs(lifted, recipe["activations"])
    logits = ops.llama_forward(weights | leaves, batch["tokens"], config, page_ops)
    losses, seeds = _from_logits(logits, batch, recipe, ops)
    for name, coefficient in recipe["losses"].items():
        if name not in ("kl", "ce"):
            loss = _TERMS[name](logits, trace, batch, recipe, lifted)
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
    weight = ops.reduce_loss_vjp(
        np.ones((), logits.dtype), np.zeros(batch["mask"].shape, logits.dtype), batch["mask"], recipe["reduction"]
    )
    kl, ce = (recipe["losses"].get(name, 0.0) for name in ("kl", "ce"))
    if kl + ce == 0:
        return {}, []
    teacher = batch.get("teacher_logits", logits.value)  # without a teacher: plain cross-entropy
    settings = kl / (kl + ce), recipe["temperature"], recipe["temperature_squared"]
    each = ops.kd_kl_and_grad(logits.value, teacher, batch["targets"], weight * weight.dtype.type(kl + ce), *settings)
    total = [float((weight * loss).sum(dtype=np.float64)) for loss in each[:2]]
    return dict(zip(("kl", "ce"), total, strict=True)), [(logits, each[2])]


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
    pairs = zip(states(trace), batch["teacher_hidden"], strict=True)
    return sum((_reduced(ops.squared_error(x, y), batch, recipe, ops) for x, y in pairs), np.zeros((), logits.dtype))


def _attention(logits, trace, batch, recipe, ops):
    total = np.zeros((), logits.dtype)
    for student, teacher in zip(scores(trace, ops), batch["teacher_attention"], strict=True):
        error = ops.attention_map_error(student, teacher)  # (B, K, R, T)
        mask = np.broadcast_to(batch["mask"][:, None, None], error.shape)
        total = ops.reduce_loss(error, mask, recipe["reduction"]) + total
    return total


_TERMS = {
    "reverse_kl": _of_logits("reverse_kl_divergence", "temperature", "temperature_squared"),
    "js": _of_logits("jensen_shannon_divergence", "temperature", "temperature_squared"),
    "top_k_kl": _top_k,
    "logit_mse": _of_logits("squared_error"),
    "logit_cosine": _of_logits("cosine_distance"),
    "hidden": _hidden,
    "attention": _attention,
}
