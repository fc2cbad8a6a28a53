"""A quantized model to the directory of another format: the same codes, unless asked otherwise."""

import os
from typing import NamedTuple

import numpy as np

from refq import __version__
from refq.files.checkpoint import linear_names, open_checkpoint
from refq.files.quantization import weights_stem
from refq.jobs import output
from refq.jobs.export_plan import plan_export, plan_units
from refq.jobs.figures import sums
from refq.jobs.inputs import check_inputs
from refq.jobs.layer import copied
from refq.jobs.plan import row_chunks
from refq.jobs.progress import WORTH_SAYING, progress, say, size
from refq.jobs.quantize import bytes_needed, write_beside, write_pretty
from refq.jobs.read_back import check_layer
from refq.jobs.regrid import grid_for
from refq.jobs.room import opened
from refq.jobs.shards import plan_shards, write_shards
from refq.jobs.stored import dequantized, weight_rows
from refq.jobs.stored_grid import read_grid


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
    record = {"command": "export", "version": __version__, "options": {"to": name, "requantize": requantize}}
    record |= {"inputs": digests, "seed": None}
    schemes = {layer: one.scheme for layer, one in plan.items()}
    config = target.config(schemes, linear_names(checkpoint.config))
    stem = weights_stem(config.get("quantization_config"))
    shards = plan_shards(plan_units(checkpoint, schemes, stem), record)
    source, needed = Exported(checkpoint, engine, target, plan), bytes_needed(checkpoint, shards)
    if needed > WORTH_SAYING:
        say(f"at most {size(memory_bound(plan))} of memory and {size(needed)} of disk are needed")
    with opened((model, out), record, needed, resume, overwrite) as begun:
        if begun is not None:
            _write(begun, shards, source, record, stem, config)
        report = compared(open_checkpoint(os.path.abspath(out) if begun is None else begun.model), source)
    why = {layer: one.fault for layer, one in plan.items() if one.fault}
    return {"written": begun is not None, **report, "requantized": _figures(out, why), "why": why}


def memory_bound(plan):
    """Bytes of memory that an export stays below: eight a weight of the largest layer, and 300 MB."""
    return 8 * max(int(np.prod(one.facts.shape)) for one in plan.values()) + 300_000_000


def _write(begun, shards, source, record, stem, config):
    write_shards(begun.room, shards, source, record, begun.done, _pieces, "exporting")
    raw = write_beside(source.checkpoint, stem, shards, begun.model, record["inputs"])
    raw = {key: value for key, value in raw.items() if key not in ("quantization", "quantization_config", "dtype")}
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
        errors.append((0.0, 0.0, 0.0))  # the same numbers
        return
    for chunk in row_chunks(unit.shape):
        x = dequantized(grid, *chunk, source.engine)
        errors.append(sums(x, dequantized(new, *chunk, source.engine)))


def compared(written, source):
    """Refuse what was written if any code, scale or zero point is another one; gives how many there are.

    Parameters
        written: Checkpoint of it.
        source: Exported.
    """
    counts = dict.fromkeys(("layers", "codes", "numbers"), 0)
    total = sum(int(np.prod(one.facts.shape)) for one in source.plan.values())
    with progress(total, "codes", "comparing") as advance:
        for layer, one in source.plan.items():
            grid = read_grid(source.checkpoint, layer, one.facts.shape, source.engine)
            found = check_layer(written, layer, grid_for(grid, one, source.engine), source.engine)
            counts = {kind: counts[kind] + count for kind, count in found.items()}
            advance(found["codes"])
    return counts


def _figures(out, layers):
    from refq.jobs.inspect import inspect_model

    if not layers:
        return {}
    rows = {row["name"].removesuffix(".weight"): row for row in inspect_model(out)["tensors"]}
    return {layer: {key: rows[layer][key] for key in ("sqnr_db", "max_error")} for layer in layers}
