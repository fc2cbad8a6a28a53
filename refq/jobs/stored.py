"""A quantized layer of a checkpoint: as a weight of the engine, and as rows of numbers."""

import numpy as np

from refq import checks
from refq.errors import CheckpointError, FormatError
from refq.files.checkpoint import check_finite
from refq.files.codebook import Codebooks
from refq.files.reassembled import stored_shape
from refq.files.safetensors import as_float32
from refq.jobs.plan import row_chunks

CODES = 2**20  # unpacked at a time


def read_weight(checkpoint, layer, shape, engine):
    """engine.PackedWeight, or engine.CodebookWeight, of a layer whose weight has this shape in the float model.

    Raises
        FileError: a scale or entry that is not finite, a scale of 0, a bit after the last code.
    """
    scheme = checkpoint.schemes[layer]
    shape = stored_shape(shape, scheme)
    if isinstance(scheme, Codebooks):
        index = _index(checkpoint, layer, shape, 0, shape[0])
        return engine.CodebookWeight(index, read_floats(checkpoint, f"{layer}.weight_codebook"), scheme.bits)
    packed = [engine.pack_codes(codes, scheme.bits) for codes in _in_chunks(checkpoint, layer, shape, engine)]
    return engine.PackedWeight(np.concatenate(packed), *_grid(checkpoint, layer, shape[0], engine), scheme.bits)


def read_codes(checkpoint, layer, shape, engine):
    """Codes int8 (N, K) and scale float32 (N, 1), as llm_int8_matmul takes them, of a layer with a scale a row."""
    codes = [codes.astype(np.int8) for codes in _in_chunks(checkpoint, layer, shape, engine)]
    scale, _ = _grid(checkpoint, layer, shape[0], engine)
    return np.concatenate(codes), scale


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
    scale, zero_point = _grid(checkpoint, layer, shape[0], engine)
    for start, stop in row_chunks(shape):
        codes = _codes(checkpoint, layer, stored_shape(shape, scheme), start, stop, engine)
        q = engine.to_groups(codes, scheme.group_size)
        rows = engine.dequantize(q, scale[start:stop, :, None], zero_point[start:stop, :, None])
        yield start, rows.reshape(len(q), -1)


def read_floats(checkpoint, name):
    """A float tensor as float32; NaN and infinity are refused."""
    return as_float32(check_finite(checkpoint.read(name), name, checkpoint.tensors[name][0]))


def _index(checkpoint, layer, shape, start, stop):
    """Packed rows of an index."""
    name = f"{layer}.weight_index"
    packed = checkpoint.read_rows(name, start, stop)
    _told(checkpoint, name, checks.unused_bits, packed, shape[1] * checkpoint.schemes[layer].bits)
    return packed


def _in_chunks(checkpoint, layer, shape, engine):
    step = max(1, CODES // shape[1])
    for start in range(0, shape[0], step):
        yield _codes(checkpoint, layer, shape, start, min(start + step, shape[0]), engine)


def _codes(checkpoint, layer, shape, start, stop, engine):
    name = f"{layer}.weight_packed"
    words, bits = checkpoint.read_rows(name, start, stop), checkpoint.schemes[layer].bits
    return _told(checkpoint, name, engine.unpack_compressed_tensors, words, bits, shape[1])


def _grid(checkpoint, layer, rows, engine):
    """scale float32, finite and not 0, and zero_point int32 of a quantized layer, both (rows, groups)."""
    scheme, name = checkpoint.schemes[layer], f"{layer}.weight_scale"
    scale = read_floats(checkpoint, name)
    if not scale.all():
        raise CheckpointError(
            f"{checkpoint.tensors[name][0]}: tensor {name} holds 0; every scale must be another number"
        )
    zero_point, name = np.zeros(1, np.int32), f"{layer}.weight_zero_point"
    if not scheme.symmetric and scheme.strategy == "tensor":
        zero_point = checkpoint.read(name).astype(np.int32)
    elif not scheme.symmetric:  # packed down the rows
        words = np.ascontiguousarray(checkpoint.read(name).T)
        zero_point = _told(checkpoint, name, engine.unpack_compressed_tensors, words, scheme.bits, rows).T
    shape = np.broadcast_shapes(scale.shape, (rows, 1))
    return (np.ascontiguousarray(np.broadcast_to(value, shape)) for value in (scale, zero_point))


def _told(checkpoint, name, function, *arguments):
    """function(*arguments); what is wrong with the bits is told with file and tensor."""
    try:
        return function(*arguments)
    except FormatError as error:
        raise FormatError(f"{checkpoint.tensors[name][0]}: tensor {name}: {error}") from None
