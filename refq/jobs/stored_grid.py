"""A layer on affine grids, whatever format stores it: its scales, its zero points, and its codes by rows."""

from typing import NamedTuple

import numpy as np

from refq.errors import CheckpointError, FormatError
from refq.files.awq import Awq
from refq.files.checkpoint import check_finite
from refq.files.gptq import Gptq
from refq.files.matmul_nbits import Nbits
from refq.files.mlx import Mlx
from refq.files.reassembled import stored_shape
from refq.files.safetensors import as_float32
from refq.jobs.progress import say

LARGEST = 2**12  # steps of a bias that is a zero point: u and it are exact beside each other


class Grid(NamedTuple):
    """w = (q - zero_point) * scale, of groups of neighbouring columns; or w = u * scale + bias, u = q + 2**(bits - 1).

    scale, zero_point: float32, finite and not 0, and int32, (N, groups).
    codes: function of (start, stop), int32 rows of N.
    columns: K.
    bits: of the codes.
    order: None, or int32 (K,): the input that each column belongs to.
    bias: None, or float32 (N, groups), not all whole multiples of their scale: zero_point then means nothing.
    """

    scale: np.ndarray
    zero_point: np.ndarray
    codes: object
    columns: int
    bits: int
    order: np.ndarray | None = None
    bias: np.ndarray | None = None


def read_grid(checkpoint, layer, shape, engine):
    """Grid of a layer whose weight has this shape in the float model; its scales and zero points are in memory.

    Raises
        FileError: a scale that is not finite or is 0, a bit after the last code, inputs that are not in equal groups.
    """
    scheme = checkpoint.schemes[layer]
    read = {Gptq: _gptq, Awq: _awq, Mlx: _mlx, Nbits: _nbits}.get(type(scheme), _compressed_tensors)
    return read(checkpoint, layer, stored_shape(shape, scheme), engine)


def read_floats(checkpoint, name):
    """A float tensor as float32; NaN and infinity are refused."""
    return as_float32(check_finite(checkpoint.read(name), name, checkpoint.tensors[name][0]))


def told(checkpoint, name, function, *arguments):
    """function(*arguments); what is wrong with the bits is told with file and tensor."""
    try:
        return function(*arguments)
    except FormatError as error:
        raise FormatError(f"{checkpoint.tensors[name][0]}: tensor {name}: {error}") from None


def _compressed_tensors(checkpoint, layer, shape, engine):
    scheme, rows, packed = checkpoint.schemes[layer], shape[0], f"{layer}.weight_packed"
    scale, zero_point = _scale(checkpoint, f"{layer}.weight_scale"), np.zeros(1, np.int32)
    name = f"{layer}.weight_zero_point"
    if not scheme.symmetric and scheme.strategy == "tensor":
        zero_point = checkpoint.read(name).astype(np.int32)
    elif not scheme.symmetric:  # packed down the rows
        words = np.ascontiguousarray(checkpoint.read(name).T)
        zero_point = told(checkpoint, name, engine.unpack_compressed_tensors, words, scheme.bits, rows).T

    def codes(start, stop):
        words = checkpoint.read_rows(packed, start, stop)
        return told(checkpoint, packed, engine.unpack_compressed_tensors, words, scheme.bits, shape[1])

    whole = [np.broadcast_to(part, np.broadcast_shapes(scale.shape, (rows, 1))) for part in (scale, zero_point)]
    return Grid(*map(np.ascontiguousarray, whole), codes, shape[1], scheme.bits)


def _gptq(checkpoint, layer, shape, engine):
    scheme = checkpoint.schemes[layer]
    scale = np.ascontiguousarray(_scale(checkpoint, f"{layer}.scales").T)
    stored = checkpoint.read(f"{layer}.qzeros")
    zero_point = engine.unpack_gptq_zeros(stored, scheme.bits, scheme.version)
    other = engine.unpack_gptq_zeros(stored, scheme.bits, 3 - scheme.version)
    if scheme.symmetric and not other.any():  # some programs write one version and name the other
        zero_point = other
        if layer == next(iter(checkpoint.schemes)):
            say(f"{checkpoint.directory}: the zero points are of version {3 - scheme.version}, not {scheme.version}")
    order, words = (
        _order(checkpoint, f"{layer}.g_idx", scheme.group_size or shape[1]),
        checkpoint.read(f"{layer}.qweight"),
    )

    def codes(start, stop):
        q = engine.unpack_gptq(words[:, start:stop], scheme.bits)
        return q if order is None else q[:, order]

    return Grid(scale, zero_point, codes, shape[1], scheme.bits, order)


def _awq(checkpoint, layer, shape, engine):
    scale = np.ascontiguousarray(_scale(checkpoint, f"{layer}.scales").T)
    words = checkpoint.read(f"{layer}.qweight")

    def codes(start, stop):
        first = start // 8
        return engine.unpack_awq(words[:, first : -(-stop // 8)])[start - 8 * first : stop - 8 * first]

    return Grid(scale, engine.unpack_awq(checkpoint.read(f"{layer}.qzeros")), codes, shape[1], 4)


def _mlx(checkpoint, layer, shape, engine):
    bits, name = checkpoint.schemes[layer].bits, f"{layer}.weight"
    scale, bias = _scale(checkpoint, f"{layer}.scales"), read_floats(checkpoint, f"{layer}.biases")

    def codes(start, stop):
        return engine.unpack_mlx(checkpoint.read_rows(name, start, stop), bits)

    steps = np.rint(-bias / scale)
    whole = (np.abs(steps) <= LARGEST).all() and (-steps * scale.astype(np.float64) == bias).all()
    zero_point = (steps - 2 ** (bits - 1)).astype(np.int32) if whole else np.zeros(scale.shape, np.int32)
    return Grid(scale, zero_point, codes, shape[1], bits, None, None if whole else bias)


def _nbits(checkpoint, layer, shape, engine):
    scheme, name = checkpoint.schemes[layer], f"{layer}.weight_zero_points"
    scale, bits = _scale(checkpoint, f"{layer}.weight_scales"), scheme.bits
    zero_point = np.zeros(scale.shape, np.int32)
    if not scheme.symmetric:
        zero_point = engine.unpack_matmul_nbits_zeros(checkpoint.read(name), bits, scale.shape[1])
    if scheme.group_size is None:  # all blocks of a row have the same
        scale, zero_point = scale[:, :1].copy(), zero_point[:, :1].copy()

    def codes(start, stop):
        packed = checkpoint.read_rows(f"{layer}.weight_Q{bits}", start, stop)
        return engine.unpack_matmul_nbits(packed, bits, shape[1])

    return Grid(scale, zero_point, codes, shape[1], bits)


def _scale(checkpoint, name):
    scale = read_floats(checkpoint, name)
    if not scale.all():
        raise CheckpointError(
            f"{checkpoint.tensors[name][0]}: tensor {name} holds 0; every scale must be another number"
        )
    return scale


def _order(checkpoint, name, size):
    """The inputs in the order of their groups; None if that is their own."""
    group = checkpoint.read(name)
    expected = np.repeat(np.arange(len(group) // size, dtype=np.int32), size)
    if (group == expected).all():
        return None
    order = np.argsort(group, kind="stable").astype(np.int32)
    if not (group[order] == expected).all():
        raise CheckpointError(
            f"{checkpoint.tensors[name][0]}: tensor {name} is no order of {len(group)} inputs in groups of {size}; "
            f"each of 0..{len(group) // size - 1} must stand there {size} times"
        )
    return order
