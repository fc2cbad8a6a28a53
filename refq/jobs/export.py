"""A quantized model to the directory of another format: the same codes, unless asked otherwise."""

import functools
import os
from typing import NamedTuple

from refq.files.checkpoint import linear_names, open_checkpoint
from refq.files.quantization import weights_stem
from refq.jobs import output
from refq.jobs.beside import bytes_needed, write_beside, write_pretty
from refq.jobs.export_plan import memory_bound, plan_export, plan_units
from refq.jobs.figures import EXACT, sums
from refq.jobs.inputs import check_inputs
from refq.jobs.journal import run_record
from refq.jobs.layer import copied
from refq.jobs.plan import row_chunks
from refq.jobs.progress import say_bounds
from refq.jobs.read_back import check_layers
from refq.jobs.regrid import grid_for
from refq.jobs.room import opened
from refq.jobs.shards import plan_shards, write_shards
from refq.jobs.stored import dequantized, weight_rows
from refq.jobs.stored_grid import read_grid

OF_WEIGHTS = ("quantization", "quantization_config", "dtype", "torch_dtype")  # what config.json says of them


class Exported(NamedTuple):
    """What the pieces of an export are made of.

    plan: layer name -> Planned.
    """

    checkpoint: object
    engine: object
    target: object
    plan: dict


def export_model(model, out, engine, name, target, requantize=False, resume=False, overwrite=False):
    """Write a quantized model as another format has it, read that back, and compare every code and number.

    Parameters
        model: directory of a model with affine grids, in any format that open_checkpoint knows.
        out: the directory to write; it appears when it is whole and compared.
        engine: refq or refq_fast.
        name, target: the format, of refq.jobs.formats.
        requantize: bool; a layer whose grid the format cannot hold gets another one.
        resume, overwrite: as quantize_model takes them.
    Returns
        report: dict "written"; "layers", "codes", "numbers" (scales and zero points) that were compared; "requantized",
            layer -> figures of the error, and "why", layer -> the rule.
    Raises
        UsageError: a float model, one that is not on grids alone, or a layer that breaks a rule of the format.
        FileError: a malformed model; a written file that is not what was meant.
    """
    output.check_paths(model, out, resume or overwrite)
    checkpoint = open_checkpoint(model)
    plan = plan_export(checkpoint, engine, target, requantize)
    digests, _ = check_inputs(checkpoint)
    record = run_record("export", {"to": name, "requantize": requantize}, digests)
    schemes = {layer: one.scheme for layer, one in plan.items()}
    config = target.config(schemes, linear_names(checkpoint.config))
    stem = weights_stem(config.get("quantization_config"))
    shards = plan_shards(plan_units(checkpoint, schemes, stem), record)
    source, needed = Exported(checkpoint, engine, target, plan), bytes_needed(checkpoint, shards)
    say_bounds(memory_bound(one.facts.shape for one in plan.values()), needed)
    with opened((model, out), record, needed, resume, overwrite) as begun:
        if begun is not None:
            _write(begun, shards, source, record, stem, config)
        report = compared(open_checkpoint(os.path.abspath(out) if begun is None else begun.model), source)
    why = {layer: one.fault for layer, one in plan.items() if one.fault}
    return {"written": begun is not None, **report, "requantized": _figures(out, why), "why": why}


def _write(begun, shards, source, record, stem, config):
    write_shards(begun.room, shards, source, record, begun.done, _pieces, "exporting")
    raw = write_beside(source.checkpoint, stem, shards, begun.model, record["inputs"])
    raw = {key: value for key, value in raw.items() if key not in OF_WEIGHTS}
    raw |= {"dtype": source.target.dtype} if source.target.dtype else {}
    for name in source.target.files:
        write_pretty(os.path.join(begun.model, name), config["quantization_config"])
    write_pretty(os.path.join(begun.model, "config.json"), raw | config)  # last: without it nothing loads


def _pieces(unit, source, errors):
    """(tensor name, array) of all that stands for a tensor; the error of a layer's new grid is added to `errors`."""
    if unit.scheme is None and unit.layer not in source.checkpoint.schemes:
        yield from copied(unit, source, errors)
        return
    if unit.scheme is None:  # an embedding, which becomes floats
        rows = weight_rows(source.checkpoint, unit.layer, unit.shape, source.engine)
        yield from ((unit.name, part) for _, part in rows)
        return
    grid = read_grid(source.checkpoint, unit.layer, unit.shape, source.engine)
    new = grid_for(grid, source.plan[unit.layer], source.engine)
    yield from source.target.tensors(unit.layer, unit.scheme, new, source.engine)
    if source.plan[unit.layer].fault is None:
        errors.append(EXACT)
        return
    errors.extend(moved(grid, new, unit.shape, source.engine))


def compared(written, source):
    """check_layers of the checkpoint that an Exported has become."""
    shapes = {layer: one.facts.shape for layer, one in source.plan.items()}
    return check_layers(written, shapes, functools.partial(planned_grid, source), source.engine)


def planned_grid(source, layer):
    """The Grid of a layer as it is written."""
    one = source.plan[layer]
    return grid_for(read_grid(source.checkpoint, layer, one.facts.shape, source.engine), one, source.engine)


def moved(grid, new, shape, engine):
    """Sums of how far another grid of a layer is from its own, a piece of its rows at a time."""
    for chunk in row_chunks(shape):
        yield sums(dequantized(grid, *chunk, engine), dequantized(new, *chunk, engine))


def _figures(out, layers):
    from refq.jobs.inspect import inspect_model

    if not layers:
        return {}
    rows = {row["name"].removesuffix(".weight"): row for row in inspect_model(out)["tensors"]}
    return {layer: {key: rows[layer][key] for key in ("sqnr_db", "max_error")} for layer in layers}
