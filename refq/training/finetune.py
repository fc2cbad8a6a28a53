"""One step of fine-tuning a student of codebooks, or a float model, as a pure function."""

import numpy as np

import refq
from refq.tape import Tensor, backward, lift, record
from refq.training import arguments_finetune as arguments
from refq.training.codebook_student import CODEBOOK, INDEX, as_stored, looked_up
from refq.training.recipe import complete_finetuning

UNREACHED = {"scores": ("pooler.", "classifier."), "labels": (), "targets": ()}  # by the loss: these stay as they are


def finetune_gradients(params, batch, config, recipe, ops=None):
    """The loss of a batch, and the gradients: an entry of a codebook has the mean of those of its members.

    w = float16(codebook)[index];  g = d loss / d w;  gcodebook = codebook_lookup_vjp(g, index, codebook, reduce)
    labels: mean cross_entropy(linear(pooled, classifier));  scores: mean (cosine - score)**2 of two mean states;
    targets: mean cross_entropy of the next token

    Parameters
        params: dict of arrays, see refq.training.codebook_student.
        batch: dict: "tokens" int and "mask" bool, both (B, T); and "labels" int (B,), or "scores" float (B / 2,), 0..1:
            then the first half of the rows are the first sentences, the second half the second ones; or "targets"
            int (B, T), of a LLaMA. An encoder may have "types" int (B, T).
        config: of bert_forward; for targets of llama_forward.
        recipe: dict; what it leaves out has the value of refq.training.recipe.FINETUNING.
        ops: the engine; None for refq.
    Returns
        report: dict: "losses" {"loss": float}, "output" (logits, or cosine distances (B / 2,)), "stored" (codebooks and
            indices that were used) and "used" (name -> gradient of each weight as it was used).
        gradients: dict, name -> gradient of every parameter that the loss depends on; of a latent weight that of the
            weight in its place, straight through, and none of its codebook.
    Raises
        GridError: a recipe, a batch or a student that is not whole; an entry of a codebook beyond float16. Else as the
        functions it is made of.

    >>> params = {"model.embed_tokens.weight_codebook": np.float32([[-1, 1]]), "model.norm.weight": np.float32([0])}
    >>> params["model.embed_tokens.weight_index"] = np.uint8([[0], [1]])
    >>> config = {"num_hidden_layers": 0, "head_dim": 2, "rms_norm_eps": 3.0, "rope_theta": 1.0, "rope_scaling": None}
    >>> batch = {"tokens": np.array([[0, 1]]), "mask": np.array([[True, True]]), "targets": np.array([[0, 1]])}
    >>> finetune_gradients(params, batch, config, {})[1]["model.norm.weight"]  # all logits are 0
    array([-0.5], dtype=float32)

    Source: 2010.07109 (recalled, not read); SPEC says what is our choice.
    Spec: finetune_gradients
    """
    ops, recipe = ops or refq, complete_finetuning(recipe)
    arguments.student(params)
    kind = arguments.task(batch, params)
    stored = as_stored(params, ops)
    weights = {name: Tensor(w) for name, w in looked_up(stored, ops).items()}
    output, losses, loss, g = _TASKS[kind](weights, batch, config, ops)
    names = [name for name in weights if not name.startswith(UNREACHED[kind])]
    found = backward([(losses, g.astype(losses.dtype))], [weights[name] for name in names])
    used, gradients = dict(zip(names, found, strict=True)), {}
    for name, g in used.items():
        if name + INDEX in params:
            table = stored[name + INDEX], stored[name + CODEBOOK]
            gradients[name + CODEBOOK] = ops.codebook_lookup_vjp(g, *table, recipe["reduce"])
        else:
            gradients[name] = g
    tables = {name: array for name, array in stored.items() if name.endswith((CODEBOOK, INDEX))}
    return {"losses": {"loss": float(loss)}, "output": output.value, "stored": tables, "used": used}, gradients


def finetune_step(params, state, batch, config, recipe, ops=None):
    """One training step: loss, gradients, clipping, and AdamW with a rate that falls along a line.

    Parameters
        params, batch, config, recipe, ops: as finetune_gradients takes them.
        state: {} before the first step, then what the step before gave.
    Returns
        params: a new dict; an index stays, codebooks of latent weights follow them.
        state: dict: "step", counted from 1; "moments", name -> those of adamw.
        report: that of finetune_gradients, with "gradients" (before clipping), "norm" and "learning_rate".
    Raises
        as finetune_gradients; NonFiniteError if a gradient is not finite.

    >>> params = {"model.embed_tokens.weight_codebook": np.float32([[-1, 1]]), "model.norm.weight": np.float32([0])}
    >>> params["model.embed_tokens.weight_index"] = np.uint8([[0], [1]])
    >>> config = {"num_hidden_layers": 0, "head_dim": 2, "rms_norm_eps": 3.0, "rope_theta": 1.0, "rope_scaling": None}
    >>> batch = {"tokens": np.array([[0, 1]]), "mask": np.array([[True, True]]), "targets": np.array([[0, 1]])}
    >>> finetune_step(params, {}, batch, config, {"learning_rate": 0.5})[0]["model.norm.weight"]
    array([0.5], dtype=float32)

    Source: 2010.07109 (recalled, not read); AdamW, clipping and the schedule are the defaults of transformers.
    Spec: finetune_step
    """
    ops, recipe, step = ops or refq, complete_finetuning(recipe), state.get("step", 0) + 1
    report, gradients = finetune_gradients(params, batch, config, recipe, ops)
    clipped, norm = ops.clip_gradients(gradients, np.inf if recipe["clip"] is None else recipe["clip"])
    rate = recipe["learning_rate"] * ops.linear_schedule(step - 1, recipe["steps"])
    latent = [name for name in params if name + CODEBOOK in params]
    new, moments = params | {name + CODEBOOK: report["stored"][name + CODEBOOK] for name in latent}, {}
    for name, g in clipped.items():
        w = params[name]
        known = state["moments"][name] if state else np.zeros((2, *w.shape), w.dtype)
        decay = recipe["weight_decay"] if w.ndim > 1 else 0.0
        new[name], moments[name] = ops.adamw(w, g, known, step, rate, decay, recipe["betas"], recipe["eps"])
    report |= {"gradients": gradients, "norm": norm, "learning_rate": rate}
    return new, {"step": step, "moments": moments}, report


def mean_pooled(hidden, mask):
    """The mean state (B, D) of the tokens (B, T, D) that are no padding."""
    return (_shares(hidden, mask)[:, None] @ hidden)[:, 0]


def mean_pooled_vjp(g, hidden, mask):
    """Gradient of mean_pooled with respect to hidden."""
    return _shares(hidden, mask)[..., None] * g[:, None]


def _shares(hidden, mask):
    return (mask / mask.sum(axis=1, keepdims=True)).astype(hidden.dtype)


def _labels(weights, batch, config, ops):
    """What the model gives, a loss each, their mean, and its gradient with respect to each."""
    lifted = lift(ops)
    _, pooled = _encoded(weights, batch, config, ops)
    logits = lifted.linear(pooled, weights["classifier.weight"], weights["classifier.bias"])
    losses = lifted.cross_entropy(logits, batch["labels"])
    return logits, losses, losses.value.mean(), np.full_like(losses.value, 1 / losses.value.size)


def _scores(weights, batch, config, ops):
    hidden, _ = _encoded(weights, batch, config, ops)
    states, pairs = record(mean_pooled, mean_pooled_vjp, hidden, batch["mask"]), len(batch["mask"]) // 2
    distances = record(ops.cosine_distance, _cosine_distance_vjp(ops), states[:pairs], states[pairs:])
    above = distances.value - (1 - batch["scores"]).astype(distances.dtype)
    return distances, distances, np.square(above).mean(), 2 * above / pairs


def _targets(weights, batch, config, ops):
    lifted = lift(ops)
    logits = ops.llama_forward(weights, batch["tokens"], config, lifted)
    losses = lifted.cross_entropy(logits, batch["targets"])
    one = losses.value.dtype.type(1)
    rest = losses.value, batch["mask"], "token_mean"
    return logits, losses, ops.reduce_loss(*rest), ops.reduce_loss_vjp(one, *rest)


_TASKS = {"labels": _labels, "scores": _scores, "targets": _targets}


def _encoded(weights, batch, config, ops):
    return ops.bert_forward(weights, batch["tokens"], batch["mask"], config, lift(ops), batch.get("types"))


def _cosine_distance_vjp(ops):
    """Of both of its arguments: the distance is the same either way round."""
    return lambda g, a, b: (ops.cosine_distance_vjp(g, a, b), ops.cosine_distance_vjp(g, b, a))
