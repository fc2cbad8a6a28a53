"""One step of quantization-aware knowledge distillation, as a pure function."""

import numpy as np

import refq
from refq.training import arguments_step as arguments
from refq.training.lottery_step import settle
from refq.training.recipe import complete
from refq.training.student import (
    INPUT_SCALE,
    SCALE,
    forward_weights,
    input_scale_names,
    surrogate_gradients,
    weight_names,
)
from refq.training.terms import loss_gradients, penalized
from refq.training.transition_step import observed, scope_of

SMALLEST_SCALE = 2.0**-24  # of float16


def kd_gradients(params, batch, config, recipe, ops=None):
    """Losses of a fake-quantized student against its teacher, and their gradients.

    w_hat = fake_quantize(w, float16(scale));  g_hat = d loss(w_hat) / d w_hat;  (g, gscale) = surrogate(g_hat)

    Parameters
        params: dict of arrays, see refq.training.student.
        batch: dict: "tokens" and "targets" int (B, T), "mask" bool (B, T), and what the losses need of the teacher:
            "teacher_logits" (B, T, V), or "teacher_log_probs" and "teacher_indices" (B, T, k),
            "teacher_hidden" and "teacher_attention", lists of arrays.
        config: of llama_forward.
        recipe: dict; what it leaves out has the value of refq.training.recipe.RECIPE.
        ops: the engine; None for refq.
    Returns
        report: dict: "losses" (dict of floats: "loss" and each term), "logits" (B, T, V), "codes" (name -> int32,
            (out, groups, group_size)) and "used" (name -> g_hat).
        gradients: dict, name -> gradient of every parameter that is not frozen.
    Raises
        GridError: a recipe, or a batch without what the losses need.
        ShapeError: scales that do not fit their weight; else as the functions it is made of.

    >>> params = {"model.embed_tokens.weight": np.float32([[-1], [1]]), "model.norm.weight": np.float32([1])}
    >>> config = {"num_hidden_layers": 0, "head_dim": 2, "rms_norm_eps": 3.0, "rope_theta": 1.0, "rope_scaling": None}
    >>> batch = {"tokens": np.array([[1]]), "mask": np.array([[True]]), "teacher_logits": np.float32([[[0, 0]]])}
    >>> report, gradients = kd_gradients(params, batch, config, {"losses": {"logit_mse": 1.0}})
    >>> report["losses"], gradients["model.norm.weight"]
    ({'logit_mse': 0.25, 'loss': 0.25}, array([0.5], dtype=float32))

    Source: Oh! We Freeze (2403.18159) and AIMET's KD-QAT example; SPEC says what is our choice.
    Spec: kd_gradients
    """
    ops, recipe = ops or refq, complete(recipe)
    arguments.batch(batch, recipe["losses"], recipe["parts"])
    arguments.frozen(recipe["frozen"], params)
    weights, codes = forward_weights(params, recipe, ops)
    names = [n for n in weight_names(params) + input_scale_names(params) if n not in recipe["frozen"]]
    inputs = batch, config, recipe, ops
    losses, logits, used = loss_gradients(weights, names, *inputs)
    if recipe["gradient_l1"] and codes:
        losses["gradient_l1"], used = penalized(weights, used, sorted(codes), *inputs)
    gradients = surrogate_gradients(params, used, recipe, ops)
    return {"losses": losses, "logits": logits, "codes": codes, "used": used}, gradients


def kd_step(params, state, batch, config, recipe, ops=None):
    """One training step: losses, gradients, clipping, transition rates, and the optimizer.

    Parameters
        params, batch, config, recipe, ops: as kd_gradients takes them.
        state: {} before the first step, then what the step before gave.
    Returns
        params: a new dict; what is frozen in it is the very array that was given.
        state: dict: "step", counted from 1; "moments" (name -> state of the optimizer, of trained parameters alone);
            "codes", "running" and "rates", see refq.training.transition_step.
        report: that of kd_gradients, with "gradients" (before clipping), "norm", "learning_rate" and "transitions".
    Raises
        as kd_gradients; NonFiniteError if a gradient is not finite.

    >>> params = {"model.embed_tokens.weight": np.float32([[-1], [1]]), "model.norm.weight": np.float32([1])}
    >>> config = {"num_hidden_layers": 0, "head_dim": 2, "rms_norm_eps": 3.0, "rope_theta": 1.0, "rope_scaling": None}
    >>> batch = {"tokens": np.array([[1]]), "mask": np.array([[True]]), "teacher_logits": np.float32([[[0, 0]]])}
    >>> recipe = {"losses": {"logit_mse": 1.0}, "optimizer": "sgd", "learning_rate": 0.5, "clip": None}
    >>> kd_step(params, {}, batch, config, recipe)[0]["model.norm.weight"]
    array([0.75], dtype=float32)

    Source: Oh! We Freeze (2403.18159); Scheduling Weight Transitions (2404.19248), algorithm 1, where it is asked for.
    Spec: kd_step
    """
    ops, recipe, step = ops or refq, complete(recipe), state.get("step", 0) + 1
    report, gradients = kd_gradients(params, batch, config, recipe, ops)
    report["gradients"] = gradients = {name: g for name, g in gradients.items() if _is_trained(name, recipe)}
    clipped, report["norm"] = ops.clip_gradients(gradients, np.inf if recipe["clip"] is None else recipe["clip"])
    multiplier = _SCHEDULES[recipe["schedule"]](ops)(step - 1, recipe["steps"], recipe["warmup"])
    report["transitions"], transitions = observed(report["codes"], state, recipe, step, ops)
    report["learning_rate"] = recipe["learning_rate"] * multiplier
    new, moments = dict(params), {}
    for name, g in clipped.items():
        rate = multiplier * _learning_rate(name, report["codes"], recipe)
        if name.endswith(INPUT_SCALE):  # relative: AdamW moves a number by its rate, and 16-bit steps are as small
            rate *= float(params[name][0])
        if recipe["transition"] and name in report["codes"]:
            rate = transitions["rates"][scope_of(name, recipe)]
        new[name], moments[name] = _optimized(params[name], g, state, name, rate, recipe | {"step": step}, ops)
    settled = settle(params, new, report["codes"], state, recipe | {"step": step}, ops) if recipe["lottery"] else {}
    return new, {"step": step, "moments": moments} | transitions | settled, report


def _is_trained(name, recipe):
    """Under transition-rate scheduling steps of weights are fixed: else codes would change although no weight moves."""
    fixed = recipe["transition"] and name.endswith(SCALE) and not name.endswith(INPUT_SCALE)
    return name not in recipe["frozen"] and not fixed


def _learning_rate(name, codes, recipe):
    """Before the schedule. What stays float (embedding, norms, biases, head) may have a rate of its own."""
    if name.endswith(SCALE):
        return recipe["scale_learning_rate"]
    own = name not in codes and recipe["float_learning_rate"] is not None
    return recipe["float_learning_rate" if own else "learning_rate"]


def _optimized(w, g, state, name, rate, recipe, ops):
    decay = recipe["weight_decay"] if w.ndim > 1 and not name.endswith(SCALE) else 0.0
    known = state.get("moments", {}).get(name)
    if recipe["optimizer"] == "sgd":
        velocity = np.zeros_like(w) if known is None else known
        w, moments = ops.sgd(w, g, velocity, rate, recipe["momentum"], decay)
    else:
        moments = np.zeros((2, *w.shape), w.dtype) if known is None else known
        optimizer = {"adam": ops.adam, "adamw": ops.adamw}[recipe["optimizer"]]
        w, moments = optimizer(w, g, moments, recipe["step"], rate, decay, recipe["betas"], recipe["eps"])
    return (np.maximum(w, w.dtype.type(SMALLEST_SCALE)) if name.endswith(SCALE) else w), moments


_SCHEDULES = {
    "cosine": lambda ops: ops.cosine_schedule,
    "linear": lambda ops: ops.linear_schedule,
    "constant": lambda ops: ops.step_schedule,
}
