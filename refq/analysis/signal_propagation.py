"""How gradients and activations pass through a model: full precision against a student."""

import numpy as np

import refq
from refq.training.recipe import complete
from refq.training.student import PROJECTIONS, forward_weights, surrogate_gradients, weight_names
from refq.training.terms import loss_gradients
from refq.training.trace import states, traced


def signal_propagation(params, batch, config, recipe, ops=None):
    """Squared Frobenius norms of the gradients of all projections, and mean and norm of the state after each layer.

    used[l, p] = |dL / dW_hat[l, p]|**2 of the weight as the forward pass uses it;
    trained[l, p] = that of the latent weight, after the quantizer's rule; 0 where nothing is trained

    Parameters
        params, batch, config, recipe, ops: as kd_gradients takes them. For full precision: params without scales.
    Returns
        report: dict of float64 arrays: "used" and "trained" (layers, 7), the projections in the order q, k, v, o, gate,
            up, down; "mean" and "norm" (layers,): of all numbers of the state after the layer at unmasked positions,
            their mean, and the mean of their vectors' Euclidean norms; "loss" ().
    Raises
        as kd_gradients.

    Source: Oh! We Freeze (2403.18159), section on signal propagation, as summaries tell it; weights, not activations,
        both sides of the mask, and all seven projections are our choice.
    Spec: signal_propagation
    """
    ops, recipe = ops or refq, complete(recipe)
    weights, _ = forward_weights(params, recipe, ops)
    losses, _, used = loss_gradients(weights, weight_names(params), batch, config, recipe, ops)
    trained = {name: g for name, g in used.items() if name not in recipe["frozen"]}
    trained = surrogate_gradients(params, trained, recipe, ops)
    layers = range(config["num_hidden_layers"])
    report = {
        kind: np.array([[_square(found, layer, name) for name in PROJECTIONS.values()] for layer in layers])
        for kind, found in (("used", used), ("trained", trained))
    }
    observer, trace = traced(ops)
    ops.llama_forward(weights, batch["tokens"], config, observer)
    seen = [state[batch["mask"]].astype(np.float64) for state in states(trace)[1:]]  # (positions, D)
    report["mean"] = np.array([x.mean() for x in seen])
    report["norm"] = np.array([np.sqrt((x * x).sum(axis=-1)).mean() for x in seen])
    return report | {"loss": np.float64(losses["loss"])}


def _square(gradients, layer, projection):
    g = gradients.get(f"model.layers.{layer}.{projection}.weight")
    return 0.0 if g is None else np.square(g, dtype=np.float64).sum()
