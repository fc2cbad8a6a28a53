"""One tensor of the model to the pieces of bytes that stand for it, a chunk of rows at a time."""

import functools
from typing import NamedTuple

import numpy as np

import refq
from refq.errors import CheckpointError, GridError
from refq.files.checkpoint import Checkpoint
from refq.files.codebook import Codebooks
from refq.files.reassembled import Outliers, Reassembled
from refq.files.safetensors import as_float32
from refq.jobs import rounding
from refq.jobs.codebook_layer import indexed
from refq.jobs.plan import Options, row_chunks
from refq.jobs.workers import in_order

RISKY = 2.0**14  # of the weights: no rule gives a scale above twice the largest weight, or refuses a smaller one


class Source(NamedTuple):
    """Where weights come from, who quantizes them, and how.

    grids: layer name -> (scale, zero_point), each (out or 1, groups, 1), of the layers whose grid is known already.
    inputs: layer name -> (scale, zero_point), each (1,), of the layers whose input has a static grid.
    reassemblies: layer name -> (members, sizes, divisors), of those whose input is reassembled.
    original: the checkpoint that figures are measured from; None for that of the weights.
    """

    checkpoint: Checkpoint
    engine: object
    options: Options
    grids: dict = {}
    inputs: dict = {}
    reassemblies: dict = {}
    original: Checkpoint | None = None


def pieces(unit, source, errors):
    """Yield (part, array): the bytes of the unit's parts in order, each in one or many pieces.

    Parameters
        unit: what becomes of the tensor.
        source: Source.
        errors: a list; the figures.sums of every chunk are added to it.
    """
    write = indexed if isinstance(unit.scheme, Codebooks) else _quantized
    try:
        yield from (copied if unit.scheme is None else write)(unit, source, errors)
    except GridError as error:
        file, _ = source.checkpoint.tensors[unit.name]
        raise CheckpointError(f"{file}: tensor {unit.name}: {error}") from error


def check_scales(units, largest, checkpoint, options):
    """Refuse, before anything is written, a tensor whose range or scale would overflow float16.

    Only a tensor with a weight of RISKY or more can have such a scale: it is fitted by the reference, and let go.
    (No entry of a codebook is larger than the largest weight.)

    Parameters
        units, checkpoint, options: as pieces takes one of them.
        largest: dict, tensor name -> largest magnitude.
    """
    for unit in units:
        if unit.scheme and largest[unit.name] >= RISKY:
            for _ in pieces(unit, Source(checkpoint, refq, options), []):
                pass


def copied(unit, source, _):
    """(name, rows) of a tensor that stays as it is; takes what pieces does."""
    for start, stop in row_chunks(unit.shape):
        yield unit.name, source.checkpoint.read_rows(unit.name, start, stop)


def _quantized(unit, source, errors):
    checkpoint, engine, options, grids = source[:4]
    read = functools.partial(checkpoint.read_rows, unit.name)
    bits, symmetric, strategy, group_size = unit.scheme[:4]
    group_size = group_size or unit.stored[1]
    qmin, qmax = engine.integer_range(bits)
    limits = -qmax if isinstance(unit.scheme.transform, Outliers) else qmin, qmax
    rounded = getattr(engine, "rounding", rounding).rounded  # refq_fast has a twin of the whole step
    one = None
    if strategy == "tensor":
        one = grids.get(unit.layer) or _fitted(source, read(0, unit.shape[0]), limits, symmetric)

    def work(rows):
        w, original, known = read(*rows), None, one
        if source.original is not None:
            original = source.original.read_rows(unit.name, *rows)
        if known is None and unit.layer in grids:
            known = tuple(part[slice(*rows)] for part in grids[unit.layer])
        elif known is None and options.range != "minmax":
            known = _fitted(source, w, limits, symmetric, group_size)
        return rounded(w, bits, limits, group_size, symmetric, known, original)

    fitted = []
    for packed, *grid, sums in in_order(engine, work, row_chunks(unit.stored)):
        yield f"{unit.layer}.weight_packed", packed
        errors.append(sums)
        fitted.append(grid)
    scale, zero_point = one or (np.concatenate(column) for column in zip(*fitted, strict=True))
    yield f"{unit.layer}.weight_scale", scale
    yield f"{unit.layer}.weight_shape", np.array(unit.stored, np.int64)
    if not symmetric and strategy == "tensor":
        yield f"{unit.layer}.weight_zero_point", zero_point.astype(np.int8)
    elif not symmetric:  # packed down the rows
        yield f"{unit.layer}.weight_zero_point", engine.pack_compressed_tensors(zero_point.T.copy(), bits).T
    yield from _of_input(unit, source)


def _of_input(unit, source):
    if unit.layer in source.inputs:
        scale, zero_point = source.inputs[unit.layer]
        yield f"{unit.layer}.input_scale", scale
        yield f"{unit.layer}.input_zero_point", zero_point.astype(np.int8 if unit.scheme.inputs.bits <= 8 else np.int16)
    if isinstance(unit.scheme.transform, Reassembled):
        for part, index in zip(("members", "sizes", "divisors"), source.reassemblies[unit.layer], strict=True):
            yield f"{unit.layer}.input_{part}", index


def _fitted(source, w, limits, symmetric, group_size=None):
    """Scale and zero point of groups, or of all of w; what is evaluated is what is stored."""
    groups = source.engine.to_groups(as_float32(w), group_size, None if group_size is None else -1)
    return getattr(source.engine, source.options.range)(groups, *limits, symmetric, scale_dtype="float16")
