"""One step that brings a group of quantized blocks nearer to what full precision gives, as a pure function."""

import numpy as np

import refq
from refq import tape
from refq.training import arguments_reconstruction as arguments
from refq.training.blocks import block_weights, run_blocks, trained
from refq.training.reconstruction_recipe import complete


def reconstruction_gradients(params, batch, config, recipe, ops=None):
    """The error of a group of quantized blocks, and the gradients of what is trained of them.

    x = blocks(inputs), each linear layer x_hat @ (quant(w) + scaling * high @ low).T;  loss = mean((x - targets)**2)

    Parameters
        params: dict of arrays, see refq.training.blocks.
        batch: dict: "inputs", what the quantized blocks before give, and "targets", what the blocks give in full
            precision; float32 (or float64), (B, T, D).
        config: of llama_forward.
        recipe: dict; what it leaves out has the value of refq.training.reconstruction_recipe.RECIPE.
        ops: the engine; None for refq.
    Returns
        report: dict: "loss"; "states", a list with the output of each block; "weights", name -> the quantized weight;
            "used", name -> the gradient of a quantized weight, where something that makes it is trained.
        gradients: dict, name -> gradient of every parameter that is trained.
    Raises
        GridError: a recipe, or a batch or params without what it needs.
        ShapeError: arrays that do not fit; else as the functions it is made of.

    >>> zero = np.zeros((2, 2), np.float32)
    >>> names = [f"self_attn.{n}_proj" for n in "qkvo"] + ["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]
    >>> params = {f"model.layers.0.{n}.weight": zero for n in names} | {"model.layers.0.mlp.down_proj.bias": zero[0]}
    >>> params |= {f"model.layers.0.{n}_layernorm.weight": np.float32([1, 1]) for n in ("input", "post_attention")}
    >>> config = {"num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": 2, "rms_norm_eps": 3.0}
    >>> config |= {"rope_theta": 1.0, "rope_scaling": None}
    >>> batch = {"inputs": np.float32([[[1, 1]]]), "targets": np.float32([[[2, 0]]])}
    >>> report, gradients = reconstruction_gradients(params, batch, config, {"train": ["biases"]})
    >>> report["loss"], gradients
    (1.0, {'model.layers.0.mlp.down_proj.bias': array([-1.,  1.], dtype=float32)})

    Source: QLLM (2310.08041), section 4.3, with details of its program; OmniQuant (2308.13137) for clipping.
    Spec: reconstruction_gradients
    """
    ops, recipe = ops or refq, complete(recipe)
    arguments.batch(batch)
    names = trained(params, recipe)
    arguments.blocks(params, names, recipe)
    leaves, lifted = {name: tape.Tensor(np.asarray(params[name])) for name in names}, tape.lift(ops)
    weights, on_grid = block_weights(params | leaves, recipe, lifted)
    states = run_blocks(weights, batch["inputs"], config, recipe, lifted)
    errors = lifted.squared_error(states[-1], batch["targets"])  # (B, T)
    learning = {name: w for name, w in on_grid.items() if isinstance(w, tape.Tensor)}
    seed = np.full(errors.shape, 1 / errors.value.size, errors.dtype)
    found = tape.backward([(errors, seed)], [*leaves.values(), *learning.values()])
    report = {
        "loss": float(errors.value.mean(dtype=np.float64)),
        "states": [_value(x) for x in states],
        "weights": {name: _value(w) for name, w in on_grid.items()},
        "used": dict(zip(learning, found[len(leaves) :], strict=True)),
    }
    return report, dict(zip(leaves, found[: len(leaves)], strict=True))


def reconstruction_step(params, state, batch, config, recipe, ops=None):
    """One training step of a group of blocks: gradients, clipping, and AdamW.

    Parameters
        params, batch, config, recipe, ops: as reconstruction_gradients takes them.
        state: {} before the first step, then what the step before gave.
    Returns
        params: a new dict; what is not trained in it is the very array that was given.
        state: dict: "step", counted from 1; "moments", name -> those of adamw.
        report: that of reconstruction_gradients, with "gradients" (before clipping), "norm" and "multiplier" (of all
            learning rates).
    Raises
        as reconstruction_gradients; NonFiniteError if a gradient is not finite.

    >>> zero = np.zeros((2, 2), np.float32)
    >>> names = [f"self_attn.{n}_proj" for n in "qkvo"] + ["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]
    >>> params = {f"model.layers.0.{n}.weight": zero for n in names} | {"model.layers.0.mlp.down_proj.bias": zero[0]}
    >>> params |= {f"model.layers.0.{n}_layernorm.weight": np.float32([1, 1]) for n in ("input", "post_attention")}
    >>> config = {"num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": 2, "rms_norm_eps": 3.0}
    >>> config |= {"rope_theta": 1.0, "rope_scaling": None}
    >>> batch = {"inputs": np.float32([[[1, 1]]]), "targets": np.float32([[[2, 0]]])}
    >>> recipe = {"train": ["biases"], "learning_rates": {"biases": 0.5}}
    >>> params, state, report = reconstruction_step(params, {}, batch, config, recipe)
    >>> report["loss"], params["model.layers.0.mlp.down_proj.bias"]
    (1.0, array([ 0.5, -0.5], dtype=float32))

    Source: QLLM (2310.08041), section 4.3, and its program: AdamW without decay, rates that fall along a line.
    Spec: reconstruction_step
    """
    ops, whole, step = ops or refq, complete(recipe), state.get("step", 0) + 1
    report, gradients = reconstruction_gradients(params, batch, config, recipe, ops)
    clipped, norm = ops.clip_gradients(gradients, np.inf if whole["clip"] is None else whole["clip"])
    schedule = getattr(ops, _SCHEDULES[whole["schedule"]])
    multiplier, kinds = schedule(step - 1, whole["steps"]), trained(params, whole)
    new, moments = dict(params), {}
    for name, g in clipped.items():
        known = state.get("moments", {}).get(name)
        known = np.zeros((2, *g.shape), g.dtype) if known is None else known
        rate = multiplier * whole["learning_rates"][kinds[name]]
        decay = whole["weight_decay"] if g.ndim > 1 else 0.0
        new[name], moments[name] = ops.adamw(params[name], g, known, step, rate, decay, whole["betas"], whole["eps"])
    report |= {"gradients": gradients, "norm": norm, "multiplier": multiplier}
    return new, {"step": step, "moments": moments}, report


def _value(x):
    return x.value if isinstance(x, tape.Tensor) else x


_SCHEDULES = {"linear": "linear_schedule", "cosine": "cosine_schedule", "constant": "step_schedule"}
