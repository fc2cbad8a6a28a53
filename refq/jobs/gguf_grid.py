"""A layer on an affine grid as blocks of a GGUF file, without rounding anything, and what is read back of them."""

import numpy as np

from refq.errors import CheckpointError, GridError
from refq.files.gguf_model import heads_of, rows_to_gguf
from refq.jobs.stored_grid import read_grid

BITS = {"Q4_0": 4, "Q4_1": 4, "Q8_0": 8}
BLOCK = 32


def kept_blocks(checkpoint, one, engine):
    """The blocks of a quantized layer with its own codes, uint8 (N, bytes); None if the type does not hold its grid.

    It does if each group is whole blocks of columns in their own order, the codes are as wide, every scale (and for
    Q4_1 the minimum, -zero_point * scale) is a number of float16, and for Q4_0 and Q8_0 every zero point is 0.

    Parameters
        checkpoint: see open_checkpoint.
        one: Planned of the layer.
        engine: refq or refq_fast.
    """
    numbers = _numbers(checkpoint, one, engine)
    if numbers is None:
        return None
    try:
        return getattr(engine, f"pack_{one.kind.lower()}")(*numbers)
    except GridError:  # a number that float16 does not hold
        return None


def check_kept(file, one, checkpoint, engine):
    """Read a layer back, and refuse it if a code, scale or minimum is another one; gives how many codes it has.

    Parameters
        file: GgufFile.
        one, checkpoint, engine: as kept_blocks takes them.
    """
    meant, order = _numbers(checkpoint, one, engine), row_order(one, checkpoint.config)
    found = getattr(engine, f"unpack_{one.kind.lower()}")(file.rows(one.name, 0, one.shape[0]))
    if not all(np.array_equal(part[order], back) for part, back in zip(meant, found, strict=True)):
        raise CheckpointError(f"{file.path}: tensor {one.name}: what was written is not what was meant")
    return found[0].size


def row_order(one, config):
    """The place here of every row of a tensor there."""
    heads = one.source and heads_of(one.source, config)
    return rows_to_gguf(one.shape[0], heads) if heads else slice(None)


def _numbers(checkpoint, one, engine):
    """Codes, scales and for Q4_1 minima, a number a block; None if no block can say them."""
    grid = read_grid(checkpoint, one.source.removesuffix(".weight"), one.shape, engine)
    groups = grid.scale.shape[1]
    if grid.columns // groups % BLOCK or grid.order is not None or grid.bits != BITS[one.kind]:
        return None
    q, minimum = grid.codes(0, one.shape[0]), grid.bias
    repeat = grid.columns // BLOCK // groups
    if one.kind != "Q4_1":
        plain = minimum is None and not grid.zero_point.any()
        return (q, np.repeat(grid.scale, repeat, axis=1)) if plain else None
    if minimum is None:
        minimum = (-(grid.zero_point + 8) * grid.scale.astype(np.float64)).astype(np.float32)
    return q + 8, np.repeat(grid.scale, repeat, axis=1), np.repeat(minimum, repeat, axis=1)
