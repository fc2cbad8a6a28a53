"""What ends every recipe without a solver of its own: each weight to the nearest number of its grid; and LLM.int8()."""

from typing import NamedTuple

import numpy as np

from refq.jobs.methods.block import finished, on_grid, quantized


class Rounding(NamedTuple):
    """Nothing to be told."""


class Mixed(NamedTuple):
    """threshold: of llm_int8_matmul."""

    threshold: float = 6.0


def rtn(block, data, settings, how):
    """Round to nearest, on the grids that are known or that fit."""
    return finished(block, settings)


def int8(block, data, settings, how):
    """LLM.int8(): 8-bit codes by the largest weight of each row, beside floats for inputs that reach the threshold."""
    engine, weights, grids = settings.engine, {}, {}
    for layer in quantized(block, settings):
        groups = engine.to_groups(block.weight(layer), None)
        largest = np.abs(groups).max(axis=-1, keepdims=True)
        grids[layer] = engine.float16_scale(largest / np.float32(127)), np.zeros(largest.shape, np.int32)
        weights[layer] = on_grid(groups, grids[layer], (-127, 127), engine).reshape(block.weight(layer).shape)
    block = block.with_weights(weights)._replace(grids=block.grids | grids)
    return block._replace(inputs=block.inputs | dict.fromkeys(weights, float(how.threshold)))
