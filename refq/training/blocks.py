"""A group of blocks in training: what their linear layers multiply, and what is stored when it is over. One flat dict.

Hugging Face names of the blocks, weights (out, in), and beside a weight what is trained:
    "<layer>.weight.low" (rank, in), "<layer>.weight.high" (out, rank)    factors of an error correction
    "<layer>.weight.gamma", "<layer>.weight.beta" (out, groups)           logits of the ends of lwc
A reassembled or rotated layer has the weight that its transformed input meets.
"""

import numpy as np

from refq.grids.groups import to_groups
from refq.models.llama import llama_block
from refq.ranges.minmax import grid_of_range
from refq.tape import Tensor
from refq.training.activations import QuantizedInput, quantized_attention, quantized_inputs
from refq.training.low_rank import CorrectedWeight, corrected_outputs
from refq.training.student import block_layers
from refq.training.weight_clipping import clipped_grid
from refq.transforms.inputs import ReassembledInput, RotatedInput, rotated_queries, transformed_inputs

LOW, HIGH, GAMMA, BETA = ".low", ".high", ".gamma", ".beta"
KINDS = {  # what may be trained, by the ends of the names
    "low_rank": (LOW, HIGH),
    "clipping": (GAMMA, BETA),
    "weights": ("_proj.weight",),
    "norms": ("norm.weight",),
    "biases": (".bias",),
}
FULL = 4.0  # where OmniQuant's logits start: 0.982 of the range


def with_trainables(params, recipe, rank, draw, ops):
    """Blocks with factors that correct nothing, and with logits at OmniQuant's start, where the recipe trains them.

    Parameters
        params: dict of arrays.
        recipe: a whole one.
        rank: int, of the factors.
        draw: function of a shape that gives float64 numbers, 0 <= number < 1, as np.random.default_rng(0).random.
        ops: the engine.
    Returns
        dict: params and the new arrays, float32.
    """
    found = dict(params)
    for layer in _altered_layers(params, recipe):
        name = f"{layer}.weight"
        out, columns = params[name].shape
        if "low_rank" in recipe["train"]:
            inputs = _inputs_before(layer, recipe) or columns
            found[name + LOW], found[name + HIGH] = ops.low_rank_init((out, inputs), rank, draw((rank, inputs)))
        if "clipping" in recipe["train"]:
            groups = to_groups(params[name], _group_size(name, recipe))
            found[name + GAMMA], found[name + BETA] = np.full((2, *groups.shape[:2]), FULL, np.float32)
    return found


def linear_layers(params, recipe):
    """Names of the linear layers of the recipe's blocks."""
    return [layer for layer in block_layers(params) if layer.startswith(_prefixes(recipe))]


def trained(params, recipe):
    """Name -> kind of every array of the recipe's blocks that is trained."""
    kept = tuple(f"{layer}." for layer in recipe["kept"])
    names = [name for name in params if name.startswith(_prefixes(recipe)) and not name.startswith(kept)]
    kinds = {name: kind for kind in recipe["train"] for name in names if name.endswith(KINDS[kind])}
    return {name: kinds[name] for name in names if name in kinds}


def block_weights(params, recipe, ops):
    """What llama_block takes.

    Returns
        weights: dict: params, but each linear weight quantized, with its correction and with what alters its input.
        on_grid: dict, name -> the quantized weight alone.
    """
    weights, on_grid = dict(params), {}
    for layer in linear_layers(params, recipe):
        name = f"{layer}.weight"
        weight = on_grid[name] = _quantized(name, params, recipe, ops)
        if name + LOW in params and layer not in recipe["kept"]:
            weight = CorrectedWeight(weight, *factors(layer, params, recipe, ops), float(recipe["scaling"]))
        if recipe["activations"] is not None and layer not in recipe["kept"]:
            weight = QuantizedInput(weight, recipe["activations"])
        how = recipe["inputs"].get(layer)
        if how is not None:
            weight = RotatedInput(weight, how) if isinstance(how, int) else ReassembledInput(weight, how)
        weights[name] = weight
    return weights, on_grid


def run_blocks(weights, x, config, recipe, ops):
    """The states (B, T, D) after each block, one after the other; `weights` as block_weights gives them."""
    ops = quantized_attention(ops, recipe["attention"])
    ops = rotated_queries(ops) if recipe["rotated_queries"] else ops
    ops = transformed_inputs(quantized_inputs(corrected_outputs(ops)))
    states = []
    for layer in recipe["layers"]:
        x = llama_block(weights, x, layer, config, ops)
        states.append(x)
    return states


def merged(params, recipe, ops):
    """What is stored after the last step: the correction in the weights, and the grid of each.

    Parameters
        params, recipe, ops: as with_trainables takes them; float32 arrays.
    Returns
        params: dict by Hugging Face names alone, float weights.
        grids: dict, layer -> (scale, zero_point), (out, groups, 1) each: float16-exact, and int32 in 0 .. 2**bits - 1,
            for codes 0 .. 2**bits - 1; empty where bits is None, and without the layers that are kept.
    """
    found = {name: w for name, w in params.items() if not name.endswith((LOW, HIGH, GAMMA, BETA))}
    grids = {}
    for layer in _altered_layers(params, recipe):
        name = f"{layer}.weight"
        if name + LOW in params:
            found[name] = ops.low_rank_merge(params[name], *factors(layer, params, recipe, ops), recipe["scaling"])
        if recipe["bits"] is not None:
            groups = to_groups(found[name], _group_size(name, recipe))
            clipped = name + GAMMA in params
            grids[layer] = (_clipped if clipped else _whole)(groups, name, params, recipe, ops)
    return found, grids


def factors(layer, params, recipe, ops):
    """(low, high) as the layer's weight has its columns."""
    low, high = params[f"{layer}.weight{LOW}"], params[f"{layer}.weight{HIGH}"]
    return ops.reassemble_weight(low, recipe["inputs"][layer]) if _inputs_before(layer, recipe) else low, high


def _altered_layers(params, recipe):
    return [layer for layer in linear_layers(params, recipe) if layer not in recipe["kept"]]


def _group_size(name, recipe):
    return recipe["group_sizes"].get(name.removesuffix(".weight"), recipe["group_size"])


def _inputs_before(layer, recipe):
    """How many channels a layer had before its reassembly, where QLLM's program counts them so; else None."""
    how = recipe["inputs"].get(layer)
    if recipe["official_factors"] and how is not None and not isinstance(how, int):
        return int(np.max(how[0])) + 1
    return None


def _quantized(name, params, recipe, ops):
    w, bits = params[name], recipe["bits"]
    if bits is None or name.removesuffix(".weight") in recipe["kept"]:
        return w
    groups = w.reshape(*to_groups(_value(w), _group_size(name, recipe)).shape)
    if name + GAMMA in params:
        x = ops.lwc(groups, *_logits(name, params), bits)
    else:
        grid = _whole(_value(groups), name, params, recipe, ops)
        x = ops.fake_quantize(groups, *grid, *ops.integer_range(bits, False))
    return x.reshape(*w.shape)


def _whole(groups, name, params, recipe, ops):
    """The min-max grid as it is stored, for codes that begin with 0."""
    limits = ops.integer_range(recipe["bits"])
    scale, zero_point = ops.minmax(groups, *limits, recipe["symmetric"], "float16")
    return scale, zero_point - limits[0]


def _clipped(groups, name, params, recipe, ops):
    """The grid of lwc as it is stored: 0 between its ends, and a step of float16."""
    qmin, qmax = ops.integer_range(recipe["bits"], False)
    scale, zero_point, _ = clipped_grid(groups, *_logits(name, params), recipe["bits"])
    low, high = (((end - zero_point) * scale).astype(groups.dtype) for end in (qmin, qmax))
    return grid_of_range(np.minimum(low, 0), np.maximum(high, 0), qmin, qmax, False, "float16")


def _logits(name, params):
    """gamma and beta, (out, groups, 1)."""
    return (params[name + end].reshape(*params[name + end].shape, 1) for end in (GAMMA, BETA))


def _prefixes(recipe):
    return tuple(f"model.layers.{number}." for number in recipe["layers"])


def _value(x):
    return x.value if isinstance(x, Tensor) else np.asarray(x)
