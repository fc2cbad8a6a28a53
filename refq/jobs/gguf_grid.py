"""A layer on an affine grid as blocks of a GGUF file, without rounding anything, and what is read back of them."""

import numpy as np

from refq.errors import CheckpointError
from refq.files.gguf_model import heads_of, rows_from_gguf, rows_to_gguf
from refq.jobs.gguf import PACKED
from refq.jobs.plan import row_chunks

BLOCK = 32


def fault(grid, kind):
    """Why blocks of this type do not hold a Grid, in words; None if they do."""
    size = grid.columns // grid.scale.shape[1]
    if kind not in PACKED:
        return f"{kind} has grids of its own"
    if grid.bits != PACKED[kind]:
        return f"it has codes of {grid.bits} bits; those of {kind} have {PACKED[kind]}"
    if size % BLOCK:
        return f"it has groups of {size}; {kind} holds whole {BLOCK}s"
    if grid.order is not None:
        return "its columns stand in another order than its inputs"
    if kind != "Q4_1" and (grid.bias is not None or grid.zero_point.any()):
        return f"it has zero points; {kind} has none"
    if not all(_is_half(part) for part in _numbers(grid, kind)):
        return f"a scale{' or minimum' * (kind == 'Q4_1')} is no number of float16"
    return None


def kept_blocks(grid, kind, engine):
    """The blocks of a Grid that they hold, with its own codes: uint8 (rows, bytes), some rows at a time."""
    pack, numbers = getattr(engine, f"pack_{kind.lower()}"), _numbers(grid, kind)
    for start, stop in row_chunks((len(grid.scale), grid.columns)):
        yield pack(_codes(grid, kind, start, stop), *(part[start:stop] for part in numbers))


def check_kept(file, one, grid, config, engine):
    """Read a layer back, and refuse it if a code, scale or minimum is another one; gives how many codes it has.

    Parameters
        file: GgufFile.
        one: Planned of the layer.
        grid: Grid of it, in the order of Hugging Face.
        config: see read_config.
        engine: refq or refq_fast.
    """
    unpack, numbers = getattr(engine, f"unpack_{one.kind.lower()}"), _numbers(grid, one.kind)
    heads, stored = heads_of(one.source, config), file.rows(one.name, 0, one.shape[0])
    stored = stored[rows_from_gguf(one.shape[0], heads)] if heads else stored
    for start, stop in row_chunks(one.shape):
        meant = _codes(grid, one.kind, start, stop), *(part[start:stop] for part in numbers)
        if not all(map(np.array_equal, meant, unpack(stored[start:stop]))):
            raise CheckpointError(f"{file.path}: tensor {one.name}: what was written is not what was meant")
    return one.shape[0] * one.shape[1]


def in_file_order(one, pieces, config):
    """The rows of a tensor, which come in pieces, in the order of the file."""
    heads = one.source and heads_of(one.source, config)
    if not heads:
        yield from pieces
        return
    yield np.concatenate(list(pieces))[rows_to_gguf(one.shape[0], heads)]


def _codes(grid, kind, start, stop):
    return grid.codes(start, stop) + (8 if kind == "Q4_1" else 0)


def _numbers(grid, kind):
    """Scales, and for Q4_1 minima, a number a block."""
    parts = [grid.scale]
    if kind == "Q4_1" and grid.bias is None:
        parts.append((-(grid.zero_point + 8) * grid.scale.astype(np.float64)).astype(np.float32))
    elif kind == "Q4_1":
        parts.append(grid.bias)
    return [np.repeat(part, grid.columns // BLOCK // part.shape[1], axis=1) for part in parts]


def _is_half(numbers):
    with np.errstate(over="ignore"):
        return bool((numbers.astype(np.float16) == numbers).all())
