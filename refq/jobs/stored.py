"""A quantized layer of a checkpoint: as a weight of the engine, and as rows of numbers."""

import numpy as np

from refq import checks
from refq.files.codebook import Codebooks
from refq.jobs.plan import row_chunks
from refq.jobs.stored_grid import read_floats as read_floats
from refq.jobs.stored_grid import read_grid, told
from refq.transforms.inputs import ReassembledInput
from refq.transforms.reassembly import Reassembly

CODES = 2**20  # unpacked at a time


def read_weight(checkpoint, layer, shape, engine):
    """engine.PackedWeight, or engine.CodebookWeight, of a layer whose weight has this shape in the float model.

    Where the columns are in another order than the inputs it is in a ReassembledInput, which puts these into theirs.

    Raises
        FileError: what read_grid refuses; an entry that is not finite, a bit after the last index.
    """
    scheme = checkpoint.schemes[layer]
    if isinstance(scheme, Codebooks):
        index = _index(checkpoint, layer, shape, 0, shape[0])
        return engine.CodebookWeight(index, read_floats(checkpoint, f"{layer}.weight_codebook"), scheme.bits)
    grid = read_grid(checkpoint, layer, shape, engine)
    if grid.bias is not None:
        return _tabled(grid, shape, scheme.bits, engine)
    weight = packed(grid, engine)
    return weight if grid.order is None else ReassembledInput(weight, in_order(grid.order))


def packed(grid, engine):
    """engine.PackedWeight of a Grid whose columns are in the order of the inputs."""
    chunks = _in_chunks(grid, (len(grid.scale), grid.columns))
    codes = np.concatenate([engine.pack_codes(q, grid.bits) for q in chunks])
    return engine.PackedWeight(codes, grid.scale, grid.zero_point, grid.bits)


def _tabled(grid, shape, bits, engine):
    """A weight that no zero point gives: its groups as codebooks, or where these are larger than it floats."""
    if bits > 4:
        return np.concatenate([dequantized(grid, start, stop, engine) for start, stop in row_chunks(shape)])
    u = np.arange(2**bits, dtype=np.float32)
    table = u * grid.scale[..., None] + grid.bias[..., None]
    half = 2 ** (bits - 1)
    index = [engine.pack_codes(np.where(q < 0, q + half, q - half), bits) for q in _in_chunks(grid, shape)]
    return engine.CodebookWeight(np.concatenate(index), table, bits)


def in_order(inputs):
    """The Reassembly that only puts inputs into an order."""
    ones = np.ones(len(inputs), np.int32)
    return Reassembly(inputs, ones, ones)


def read_codes(checkpoint, layer, shape, engine):
    """Codes int8 (N, K) and scale float32 (N, 1), as llm_int8_matmul takes them, of a layer with a scale a row."""
    grid = read_grid(checkpoint, layer, shape, engine)
    return np.concatenate([codes.astype(np.int8) for codes in _in_chunks(grid, shape)]), grid.scale


def weight_rows(checkpoint, layer, shape, engine):
    """The numbers that are stored for a layer of this shape in the float model, float32, in chunks (start, rows)."""
    scheme = checkpoint.schemes[layer]
    if isinstance(scheme, Codebooks):
        codebook = read_floats(checkpoint, f"{layer}.weight_codebook")
        for start, stop in row_chunks(shape):
            packed = _index(checkpoint, layer, shape, start, stop)
            index = engine.unpack_codes(packed, scheme.bits, shape[1]) & (2**scheme.bits - 1)
            tables = codebook[start:stop] if len(codebook) > 1 else codebook
            groups = engine.to_groups(index, shape[1] // codebook.shape[1])
            yield start, engine.codebook_lookup(groups, tables).reshape(index.shape)
        return
    grid = read_grid(checkpoint, layer, shape, engine)
    for start, stop in row_chunks(shape):
        yield start, dequantized(grid, start, stop, engine)


def dequantized(grid, start, stop, engine):
    """Rows of the weight of a Grid in the order of the inputs, float32."""
    codes = grid.codes(start, stop)
    q = engine.to_groups(codes, grid.columns // grid.scale.shape[1])
    scale, zero_point = (part[start:stop, :, None] for part in (grid.scale, grid.zero_point))
    if grid.bias is None:
        rows = engine.dequantize(q, scale, zero_point).reshape(len(q), -1)
    else:
        rows = ((q + 2 ** (grid.bits - 1)).astype(np.float32) * scale + grid.bias[start:stop, :, None]).reshape(
            len(q), -1
        )
    return rows if grid.order is None else rows[:, np.argsort(grid.order)]


def _index(checkpoint, layer, shape, start, stop):
    """Packed rows of an index."""
    name = f"{layer}.weight_index"
    packed = checkpoint.read_rows(name, start, stop)
    told(checkpoint, name, checks.unused_bits, packed, shape[1] * checkpoint.schemes[layer].bits)
    return packed


def _in_chunks(grid, shape):
    step = max(1, CODES // shape[1])
    for start in range(0, shape[0], step):
        yield grid.codes(start, min(start + step, shape[0]))
