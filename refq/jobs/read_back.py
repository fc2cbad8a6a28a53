"""What was written, read back: a layer is the grid that was meant, or the job ends with an error."""

import numpy as np

from refq.errors import CheckpointError
from refq.jobs.plan import row_chunks
from refq.jobs.stored_grid import read_grid


def check_layer(written, layer, meant, engine):
    """Refuse a layer of a checkpoint if any code, scale, zero point or place of a column is another one.

    Parameters
        written: see open_checkpoint.
        layer: its name.
        meant: Grid.
        engine: refq or refq_fast.
    Returns
        dict: "layers", 1; "codes" and "numbers" (scales and zero points) that were compared.
    """
    shape = len(meant.scale), meant.columns
    found = read_grid(written, layer, shape, engine)
    parts = ((one.scale, one.zero_point, one.bias) for one in (meant, found))
    same = all(np.array_equal(*pair) for pair in zip(*parts, strict=True))
    same &= np.array_equal(meant.order, _order(written, layer, found))
    for chunk in row_chunks(shape) if same else ():
        same = same and np.array_equal(meant.codes(*chunk), found.codes(*chunk))
    if not same:
        raise CheckpointError(f"{written.directory}: layer {layer}: what was written is not what was meant")
    return {"layers": 1, "codes": shape[0] * shape[1], "numbers": 2 * found.scale.size}


def _order(checkpoint, layer, grid):
    name = f"{layer}.input_members"
    return checkpoint.read(name) if name in checkpoint.tensors else grid.order
