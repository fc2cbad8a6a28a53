"""MLX directories of the affine format, scales and biases in float32: every weight is then exact."""

import numpy as np

from refq.files import mlx
from refq.files.mlx import Mlx
from refq.jobs.plan import row_chunks
from refq.jobs.targets import Target, rules

_DIGITS = 24  # of float32


def target():
    """Target of MLX."""

    def schemes(facts):
        return {layer: _scheme(one) for layer, one in facts.items()}

    return Target(schemes, mlx.misfit, _fault, _tensors, _config)


def _scheme(facts):
    """The largest groups that divide its own; where none do, the smallest, which a new grid may have."""
    size = next((size for size in mlx.SIZES[::-1] if facts.size % size == 0), mlx.SIZES[0])
    return Mlx(min(bits for bits in mlx.BITS if bits >= facts.bits), size)


def _fault(facts, scheme):
    if not facts.whole:
        return rules.same_grid(facts, scheme)
    exact = None
    if facts.digits + facts.bits > _DIGITS:
        exact = (
            f"a scale has {facts.digits} binary digits; with {facts.bits} bits a code, {_DIGITS - facts.bits} are exact"
        )
    if facts.size % scheme.group_size:
        return f"its groups of {facts.size} are no multiple of 32, 64 or 128"
    return rules.first(rules.columns_in_order(facts), rules.same_grid(facts, scheme), rules.on_the_grid(facts), exact)


def _tensors(layer, scheme, grid, engine):
    for chunk in row_chunks((len(grid.scale), grid.columns)):
        yield f"{layer}.weight", engine.pack_mlx(grid.codes(*chunk), scheme.bits)
    yield f"{layer}.scales", grid.scale
    steps = (grid.zero_point + 2 ** (scheme.bits - 1)).astype(np.float32)
    yield f"{layer}.biases", -steps * grid.scale if grid.bias is None else grid.bias


def _config(schemes, names):
    found = mlx.quantization(schemes)
    return {"quantization": found, "quantization_config": found}
