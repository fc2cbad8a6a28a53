"""How gradients and states pass through a model: what full precision is compared with."""

import numpy as np

import refq
from refq.training import arguments_step as arguments
from refq.training.recipe import complete
from refq.training.student import PROJECTIONS, forward_weights, projection_weights, surrogate_gradients, weight_names
from refq.training.terms import loss_gradients
from refq.training.trace import states, traced


def signal_propagation(params, batch, config, recipe, ops=None):
    """Squared Frobenius norms of the gradients of all projections, and mean and norm of the state after each layer.

    used[l, p] = |d loss / d w_hat[l, p]|**2, of frozen weights too;  trained[l, p] = |d loss / d w[l, p]|**2, or 0

    Parameters
        params, batch, config, recipe, ops: as kd_gradients takes them. For full precision: params without scales.
    Returns
        report: dict of float64 arrays: "used" and "trained" (layers, 7), in the order q, k, v, o, gate, up, down:
            of the weights as the forward pass uses them, and of the latent ones, by the quantizer's rule;
            "mean" and "norm" (layers,): of the states after each layer, at positions where the mask is True, the mean
            of all numbers, and the mean of the vectors' Euclidean norms; and "loss" ().
    Raises
        as kd_gradients.

    >>> sizes = {"q": (2, 1), "k": (2, 1), "v": (2, 1), "o": (1, 2), "gate": (1, 1), "up": (1, 1), "down": (1, 1)}
    >>> params = {f"model.layers.0.{PROJECTIONS[p]}.weight": np.zeros(sizes[p], np.float32) for p in sizes}
    >>> params["model.layers.0.self_attn.v_proj.weight"] += np.float32([[1], [0]])
    >>> params |= {f"model.{name}.weight": np.float32([1])
    ...            for name in ("layers.0.input_layernorm", "layers.0.post_attention_layernorm", "norm")}
    >>> params["model.embed_tokens.weight"] = np.float32([[-1], [1]])
    >>> config = {"num_hidden_layers": 1, "num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": 2}
    >>> config |= {"rms_norm_eps": 3.0, "rope_theta": 1.0, "rope_scaling": None}
    >>> batch = {"tokens": np.array([[1]]), "mask": np.array([[True]]), "teacher_logits": np.float32([[[0, 0]]])}
    >>> report = signal_propagation(params, batch, config, {"losses": {"logit_mse": 1.0}})
    >>> report["used"], report["norm"]  # o alone: 0.5 (its input) times 0.375 (the gradient of the state), squared
    (array([[0.        , 0.        , 0.        , 0.03515625, 0.        ,
            0.        , 0.        ]]), array([1.]))

    Source: Oh! We Freeze (2403.18159), section on signal propagation, known from summaries. That the gradients are
        those of weights, both sides of the quantizer, and all seven projections are our choice.
    Spec: signal_propagation
    """
    ops, recipe = ops or refq, complete(recipe) | {"parts": 1}
    arguments.batch(batch, recipe["losses"])
    arguments.frozen(recipe["frozen"], params)
    weights, _ = forward_weights(params, recipe, ops)
    watched, trace = traced(ops)
    losses, _, used = loss_gradients(weights, weight_names(params), batch, config, recipe, watched)
    latent = {name: g for name, g in used.items() if name not in recipe["frozen"]}
    seen = [x[batch["mask"]].astype(np.float64) for x in states(trace)[1:]]  # (positions, D) of each layer
    return {
        "used": _squares(used, config),
        "trained": _squares(surrogate_gradients(params, latent, recipe, ops), config),
        "mean": np.array([x.mean() for x in seen]),
        "norm": np.array([np.sqrt((x * x).sum(axis=-1)).mean() for x in seen]),
        "loss": np.array(losses["loss"]),
    }


def _squares(gradients, config):
    """Sums of squares, (layers, 7); 0 for what has no gradient."""
    names, none = projection_weights(config), np.zeros(1)
    squares = [[np.square(gradients.get(name, none), dtype=np.float64).sum() for name in row] for row in names]
    return np.array(squares).reshape(len(names), len(PROJECTIONS))
