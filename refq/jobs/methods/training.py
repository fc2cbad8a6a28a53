"""Groups of blocks, trained until they give what full precision gives: error correction, all weights, or clipping."""

from typing import NamedTuple

import numpy as np

from refq.jobs.methods.block import PROJECTIONS, quantized
from refq.training.blocks import merged, with_trainables
from refq.training.reconstruction import reconstruction_step
from refq.training.reconstruction_recipe import complete


class Correction(NamedTuple):
    """blocks: how many together.  rank: of the factors.  epochs: passes over the sequences.
    official_extras: the gains of the norms and the biases are trained as well, as in QLLM's program."""

    blocks: int = 4
    rank: int = 4
    epochs: int = 10
    learning_rate: float = 5e-4
    official_extras: bool = False


class Tuning(NamedTuple):
    """As Correction, without factors."""

    blocks: int = 4
    epochs: int = 10
    learning_rate: float = 1e-4
    official_extras: bool = False


class Clipping(NamedTuple):
    """As Correction, of the ends of ranges."""

    blocks: int = 1
    epochs: int = 20
    learning_rate: float = 1e-2


def correction(group, data, settings, how, pen):
    """QLLM's efficient error correction: factors of low rank beside each weight, merged in the end."""
    return _trained(group, data, settings, correction_recipe(group, how), how, pen)


def tuning(group, data, settings, how, pen):
    """All weights of the blocks: what error correction is compared with."""
    return _trained(group, data, settings, _recipe("weights", group, how), how, pen)


def clipping(group, data, settings, how, pen):
    """OmniQuant's learnable weight clipping: the ends of every group's range, a block at a time."""
    recipe = {"train": ["clipping"], "learning_rates": {"clipping": how.learning_rate}, "schedule": "constant"}
    return _trained(group, data, settings, recipe, how, pen)


def correction_recipe(group, how):
    """What reconstruction_step is told of a Correction."""
    return _recipe("low_rank", group, how) | {"scaling": 1 / how.rank}


def _recipe(kind, group, how):
    biases = any(name.endswith(".bias") for block in group for name in block.params)
    kinds = [kind, *(["norms", "biases"][: 1 + biases] if how.official_extras else [])]
    return {"train": kinds, "learning_rates": dict.fromkeys(kinds, how.learning_rate)}


def _trained(group, data, settings, recipe, how, pen):
    """The blocks after so many passes over the sequences, one sequence a step.

    Parameters
        group: list of Block.
        data: Data: `low`, what the group is given, and `full`, what it should give.
        recipe: of reconstruction_step, as far as it is the method's own.
        how: Correction, Tuning or Clipping.
        pen: (seed of what is drawn, function of a remark).
    """
    if not any(quantized(block, settings) for block in group):
        return group
    params, recipe = train_blocks(group, data, settings, recipe, how, pen)
    params, grids = merged(params, recipe, settings.engine)
    half = 2 ** (recipe["bits"] - 1)  # codes of files are signed
    grids = {layer: (scale, (zero_point - half).astype(np.int32)) for layer, (scale, zero_point) in grids.items()}
    return [_put_back(block, params, grids, recipe) for block in group]


def train_blocks(group, data, settings, recipe, how, pen):
    """As _trained, before anything is merged: the params of refq.training.blocks, and the whole recipe."""
    (seed, remark), engine, config = pen, settings.engine, settings.config
    recipe = complete(_grids(group, settings) | recipe | {"steps": how.epochs * len(data.low)})
    params = {name: w for block in group for name, w in block.params.items()}
    draw = _uniform(np.random.PCG64([seed, group[0].layer]))
    params, state = with_trainables(params, recipe, getattr(how, "rank", 1), draw, engine), {}
    for _ in range(how.epochs):
        for x, target in zip(data.low, data.full, strict=True):
            batch = {"inputs": np.ascontiguousarray(x[None]), "targets": np.ascontiguousarray(target[None])}
            params, state, report = reconstruction_step(params, state, batch, config, recipe, engine)
            remark(f"error {report['loss']:.4g}")
    return params, recipe


def _put_back(block, params, grids, recipe):
    own = {name: params[name] for name in block.params}
    layers = [layer for layer in map(block.name, PROJECTIONS) if "clipping" in recipe["train"] and layer in grids]
    return block._replace(params=own, grids=block.grids | {layer: grids[layer] for layer in layers})


def _grids(group, settings):
    """What the recipe says of grids and inputs."""
    layers = [block.name(part) for block in group for part in PROJECTIONS]
    schemes = {layer: settings.schemes[layer] for layer in layers if layer in settings.schemes}
    one = next(iter(settings.schemes.values()))  # they differ by their group sizes alone
    attention, rotated = settings.config.get("attention_activations"), settings.config.get("rotated_queries", False)
    return {
        "layers": [block.layer for block in group],
        "bits": one.bits,
        "symmetric": one.symmetric,
        "group_sizes": {layer: scheme.group_size for layer, scheme in schemes.items()},
        "kept": [layer for layer in layers if layer not in schemes],
        "activations": settings.activations,
        "attention": attention,
        "rotated_queries": rotated,
        "inputs": {layer: how for block in group for layer, how in block.inputs.items()},
    }


def _uniform(bits):
    """Draws of [0, 1) by shape, from raw numbers, which no version of NumPy changes."""
    return lambda shape: (bits.random_raw(int(np.prod(shape))) >> np.uint64(11)).reshape(shape) * 2.0**-53
