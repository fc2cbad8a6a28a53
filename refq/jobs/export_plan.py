"""What becomes of every layer of a model that is exported, known before anything is written."""

import math
import os
from typing import NamedTuple

import numpy as np

from refq.errors import UsageError
from refq.files.checkpoint import llama_tensors
from refq.files.codebook import Codebooks
from refq.files.mlx import EMBEDDING
from refq.files.quantization import packed_tensors, scheme_text
from refq.files.reassembled import Attention
from refq.files.shards import weight_files
from refq.jobs.plan import Unit
from refq.jobs.stored_grid import read_grid
from refq.jobs.targets import Facts


class Planned(NamedTuple):
    """What becomes of a layer.

    scheme: that it will have.
    fault: why its own grid has no place there, or None.
    symmetric: whether a new grid is.
    """

    facts: Facts
    scheme: object
    fault: str | None
    symmetric: bool


def plan_export(checkpoint, engine, target, requantize):
    """Layer name -> Planned, in the order of the model.

    Raises
        UsageError: a float model; codebooks, inputs or attention on grids; a layer that breaks a rule of the format.
    """
    where = checkpoint.directory
    if not checkpoint.schemes:
        raise UsageError(f"{where}: the model is not quantized; `refq quantize {where} OUT` first")
    _refuse_others(checkpoint)
    shapes = llama_tensors(checkpoint.config)
    layers = [layer for layer in checkpoint.schemes if layer != EMBEDDING]
    facts = {layer: _facts(checkpoint, layer, shapes[f"{layer}.weight"], engine) for layer in layers}
    plan = {}
    for layer, scheme in target.schemes(facts).items():
        misfit = target.misfit(facts[layer].shape, scheme)
        if misfit:
            raise UsageError(f"{where}: layer {layer}: {misfit}; quantize with --keep {layer.rpartition('.')[2]}")
        fault = target.fault(facts[layer], scheme)
        if fault and not requantize:
            raise UsageError(f"{where}: layer {layer}: {fault}; or --requantize, which gives it another grid")
        plan[layer] = Planned(facts[layer], scheme, fault, target.symmetric or facts[layer].symmetric)
    return plan


def memory_bound(shapes):
    """Bytes of memory that an export or import stays below: eight a weight of the largest of `shapes`, and 300 MB."""
    return 8 * max(map(math.prod, shapes)) + 300_000_000


def plan_units(checkpoint, schemes, stem):
    """The units of every output file: one for each input file, of the same name; a single one has the format's.

    Returns
        dict, file name -> list of Unit, in the order of the model.
    """
    names = {file: os.path.basename(file) for file in checkpoint.files}
    if len(names) == 1:
        names = {file: weight_files(stem)[0] for file in names}
    files = {name: [] for name in names.values()}
    for name, shape in llama_tensors(checkpoint.config).items():
        layer = name.removesuffix(".weight")
        before = checkpoint.schemes.get(layer) if name.endswith(".weight") else None
        file, info = checkpoint.tensors[next(iter(packed_tensors(layer, shape, before))) if before else name]
        parts = [(name, "F32" if before else info.dtype, shape)]  # an embedding may become floats
        quantized = before and layer in schemes
        if quantized:
            parts = parts_of(packed_tensors(layer, shape, schemes[layer]))
        files[names[file]].append(Unit(name, shape, schemes[layer] if quantized else None, parts))
    return {file: units for file, units in files.items() if units}


def parts_of(tensors):
    """The parts of a Unit: what a format's packed_tensors gives, each with the first of its dtypes."""
    return [(name, dtypes[0], shape) for name, (dtypes, shape) in tensors.items()]


def _refuse_others(checkpoint):
    for layer, scheme in checkpoint.schemes.items():
        if isinstance(scheme, Codebooks):
            raise UsageError(f"{checkpoint.directory}: layer {layer} has codebooks; no format of others holds them")
        if scheme.inputs or scheme.transform:
            text = scheme_text(scheme)
            raise UsageError(f"{checkpoint.directory}: layer {layer} is {text}; only weights alone are exported")
    if any(checkpoint.config[key] for key in Attention._fields):
        raise UsageError(f"{checkpoint.directory}: attention is on a grid; only weights alone are exported")


def _facts(checkpoint, layer, shape, engine):
    grid = read_grid(checkpoint, layer, shape, engine)
    with np.errstate(over="ignore"):
        half = bool((grid.scale.astype(np.float16) == grid.scale).all())
    mantissa = (np.frexp(grid.scale)[0] * 2.0**24).astype(np.int64)  # of 24 bits
    digits = 24 - int(np.log2(np.bitwise_and(mantissa, -mantissa)).min())
    bits, size = checkpoint.schemes[layer].bits, shape[1] // grid.scale.shape[1]
    zero = grid.zero_point
    return Facts(
        shape, bits, size, int(zero.min()), int(zero.max()), half, digits, grid.order is None, grid.bias is None
    )
