"""One step of fine-tuning an encoder on labelled or scored sentences, as a pure function."""

import numpy as np

from refq.tape import backward, lift, record
from refq.training.codebook_student import CODEBOOK, as_stored, weights_on_tape

CLIP = 1.0  # largest norm of the gradient: transformers' default
UNREACHED = {"similarity": ("pooler.", "classifier."), "classification": ()}  # by the loss: these stay as they are


def finetune_step(params, state, batch, config, recipe, ops):
    """One training step: loss, gradients, clipping, and AdamW with a rate that falls along a line.

    Parameters
        params: dict of arrays, see refq.training.codebook_student, by the names of bert_forward and "classifier".
        state: {} before the first step, then what the step before gave.
        batch, config, ops: as finetune_gradients takes them.
        recipe: dict: "reduce", "learning_rate", "weight_decay" (of matrices and codebooks) and "steps".
    Returns
        params, state: after the step.
        report: dict: "losses", {"loss": float}; "norm", of the gradient before clipping; "learning_rate".
    Raises
        NonFiniteError: a gradient is not finite. GridError: an entry of a codebook beyond float16.
    """
    step = state.get("step", 0) + 1
    loss, gradients, stored = finetune_gradients(params, batch, config, recipe["reduce"], ops)
    clipped, norm = ops.clip_gradients(gradients, CLIP)
    rate = recipe["learning_rate"] * ops.linear_schedule(step - 1, recipe["steps"])
    latent = [name for name in params if name + CODEBOOK in params]
    new, moments = params | {name + CODEBOOK: stored[name + CODEBOOK] for name in latent}, {}
    for name, g in clipped.items():
        w = params[name]
        known = state["moments"][name] if state else np.zeros((2, *w.shape), w.dtype)
        decay = recipe["weight_decay"] if w.ndim > 1 else 0.0
        new[name], moments[name] = ops.adamw(w, g, known, step, rate, decay)
    return new, {"step": step, "moments": moments}, {"losses": {"loss": loss}, "norm": norm, "learning_rate": rate}


def finetune_gradients(params, batch, config, reduce, ops):
    """The loss of a batch, and its gradient with respect to every parameter that it reaches.

    classification: mean cross-entropy of linear(pooled, classifier);  similarity: mean (cosine - score)**2 of the mean
    states of two sentences

    Parameters
        params: as finetune_step takes them.
        batch: dict: "tokens", "mask", "types", each (B, T); and "labels" (B,) integers, or "scores" (B / 2,), 0..1:
            then the first half of the rows are the first sentences, the second half the second ones.
        config: of bert_forward.
        reduce: "mean" or "sum", see codebook_lookup_vjp.
        ops: the engine.
    Returns
        loss: float.
        gradients: dict, name -> array; codebooks of latent weights have none, the weights theirs straight through.
        stored: the student that was used, see as_stored.
    """
    stored, lifted = as_stored(params, ops), lift(ops)
    weights, leaves = weights_on_tape(params, stored, reduce, ops)
    hidden, pooled = ops.bert_forward(weights, batch["tokens"], batch["mask"], config, lifted, batch["types"])
    if "labels" in batch:
        kind, logits = "classification", lifted.linear(pooled, weights["classifier.weight"], weights["classifier.bias"])
        losses = lifted.cross_entropy(logits, batch["labels"])
        loss, g = losses.value.mean(), np.full_like(losses.value, 1 / losses.value.size)
    else:
        kind, states = "similarity", record(mean_pooled, mean_pooled_vjp, hidden, batch["mask"])
        pairs = len(batch["mask"]) // 2
        losses = record(ops.cosine_distance, _cosine_distance_vjp(ops), states[:pairs], states[pairs:])
        above = losses.value - (1 - batch["scores"]).astype(losses.value.dtype)
        loss, g = np.square(above).mean(), 2 * above / pairs
    names = [name for name in leaves if not name.startswith(UNREACHED[kind])]
    found = backward([(losses, g.astype(losses.dtype))], [leaves[name] for name in names])
    return float(loss), dict(zip(names, found, strict=True)), stored


def mean_pooled(hidden, mask):
    """The mean state (B, D) of the tokens (B, T, D) that are no padding."""
    return (_shares(hidden, mask)[:, None] @ hidden)[:, 0]


def mean_pooled_vjp(g, hidden, mask):
    """Gradient of mean_pooled with respect to hidden."""
    return _shares(hidden, mask)[..., None] * g[:, None]


def _shares(hidden, mask):
    return (mask / mask.sum(axis=1, keepdims=True)).astype(hidden.dtype)


def _cosine_distance_vjp(ops):
    """Of both of its arguments: the distance is the same either way round."""
    return lambda g, a, b: (ops.cosine_distance_vjp(g, a, b), ops.cosine_distance_vjp(g, b, a))
