"""What was written, read back: a layer is the grid that was meant, or the job ends with an error."""

import math

import numpy as np

from refq.errors import CheckpointError
from refq.jobs.plan import row_chunks
from refq.jobs.progress import progress
from refq.jobs.stored_grid import read_grid


def check_layers(written, shapes, meant, engine):
    """Refuse a checkpoint in which any code, scale, zero point or place of a column is another one.

    Parameters
        written: see open_checkpoint.
        shapes: dict, layer -> shape, of those that are compared.
        meant: a function of a layer's name that gives its Grid.
        engine: refq or refq_fast.
    Returns
        counts: dict "layers", "codes" and "numbers" (scales and zero points) that were compared.
    """
    codes, numbers = sum(map(math.prod, shapes.values())), 0
    with progress(codes, "codes", "comparing") as advance:
        for layer, shape in shapes.items():
            numbers += _check_layer(written, layer, meant(layer), engine)
            advance(math.prod(shape))
    return {"layers": len(shapes), "codes": codes, "numbers": numbers}


def _check_layer(written, layer, meant, engine):
    shape = len(meant.scale), meant.columns
    found = read_grid(written, layer, shape, engine)
    parts = ((one.scale, one.zero_point, one.bias) for one in (meant, found))
    same = all(np.array_equal(*pair) for pair in zip(*parts, strict=True))
    same &= np.array_equal(meant.order, _order(written, layer, found))
    for chunk in row_chunks(shape) if same else ():
        same = same and np.array_equal(meant.codes(*chunk), found.codes(*chunk))
    if not same:
        raise CheckpointError(f"{written.directory}: layer {layer}: what was written is not what was meant")
    return 2 * found.scale.size


def _order(checkpoint, layer, grid):
    name = f"{layer}.input_members"
    return checkpoint.read(name) if name in checkpoint.tensors else grid.order
