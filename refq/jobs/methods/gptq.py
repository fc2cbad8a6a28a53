"""GPTQ on a block: layer after layer, each with the inputs that the quantized layers before it give."""

from typing import NamedTuple

import numpy as np

from refq.jobs.methods.block import fitted, observed, on_grid, transformed
from refq.jobs.methods.statistics import hessians

TURNS = (("self_attn.k_proj", "self_attn.v_proj", "self_attn.q_proj"), ("self_attn.o_proj",))
TURNS += (("mlp.up_proj", "mlp.gate_proj"), ("mlp.down_proj",))


class Solver(NamedTuple):
    """act_order, damping: of gptq.  static_groups: all grids are fitted first; else that of a group when its turn
    comes, by minmax, and then act_order is not looked at."""

    act_order: bool = False
    static_groups: bool = True
    damping: float = 0.01


def gptq(block, data, settings, how):
    """Every quantized layer by gptq on the grid that it has, or that fits its weights."""
    for turn in TURNS:
        layers = [layer for layer in map(block.name, turn) if layer in settings.schemes]
        if not layers:
            continue
        form = block.inputs.get(layers[0])  # layers of a turn see the same input
        seen = observed(block, layers[:1], data.low, settings)
        seen = ((layer, transformed(x, form, settings.engine)) for layer, x in seen)
        [hessian] = hessians(seen, settings.engine).values()
        for layer in layers:
            block = _solved(block, layer, hessian, settings, how)
    return block


def _solved(block, layer, hessian, settings, how):
    engine, scheme = settings.engine, settings.schemes[layer]
    w, limits = block.weight(layer), engine.integer_range(scheme.bits)
    grid = block.grids.get(layer)
    if grid is None and not how.static_groups and scheme.group_size:
        found = engine.gptq_grouped(w, hessian, scheme.group_size, *limits, scheme.symmetric, how.damping)
        grid = engine.float16_scale(found[3])[..., None], found[4][..., None]
    elif grid is None:
        _, grid = fitted(w, scheme, settings)
    flat = [np.ascontiguousarray(np.broadcast_to(part[..., 0], (len(w), part.shape[1]))) for part in grid]
    _, w_hat, _ = engine.gptq(w, hessian, *flat, *limits, how.act_order, how.damping)
    # once more by the functions of the file: w_hat is on its grid to the last bit
    w_hat = on_grid(engine.to_groups(w_hat, scheme.group_size), grid, limits, engine).reshape(w.shape)
    return block.with_weights({layer: w_hat})._replace(grids=block.grids | {layer: grid})
