"""A model directory to an ONNX file: codes as they are, floats as float32, in a file of weights beside the graph."""

import functools
import json
import os

from refq.errors import UsageError
from refq.files.checkpoint import llama_tensors, open_checkpoint
from refq.files.matmul_nbits import packed_tensors
from refq.files.onnx import open_onnx
from refq.files.onnx_model import PREFIX, is_transposed
from refq.files.onnx_proto import onnx_bytes, onnx_package
from refq.files.safetensors import plan_offsets
from refq.jobs import output
from refq.jobs.export import OF_WEIGHTS, Exported, compared, moved
from refq.jobs.export_plan import memory_bound, plan_export
from refq.jobs.figures import error_figures
from refq.jobs.inputs import carried, check_inputs, read_small
from refq.jobs.journal import canonical, run_record
from refq.jobs.onnx import graph_of, open_model, turned_rows
from refq.jobs.progress import say_bounds
from refq.jobs.regrid import grid_for
from refq.jobs.room import Kind, opened
from refq.jobs.spans import write_tensors
from refq.jobs.stored_grid import read_grid
from refq.jobs.targets.onnx import target

RUN = "refq"  # the key of the run record
_PAGE = 2**12  # where a tensor begins: a program may map it


def write_onnx(model, out, engine, requantize=False, resume=False, overwrite=False):
    """Write a model as an ONNX graph that ONNX Runtime runs, and its weights beside; read both back and compare.

    The weights are in OUT.data. Both grow apart. At the end an old OUT is taken away, then OUT.data gets its name, then
    OUT: so OUT never stands beside weights that are not its own, and a kill between leaves no OUT, but what --resume
    makes one of. OUT may be renamed afterwards, OUT.data may not: the graph names it.

    Parameters
        model: a model directory, float or quantized.
        out: the file, whose name ends in .onnx.
        engine: refq or refq_fast.
        requantize: bool; a layer whose grid MatMulNBits cannot hold gets another one.
        resume, overwrite: as quantize_model takes them.
    Returns
        report: as export_model gives it.
    Raises
        UsageError: a layer that breaks a rule of MatMulNBits; a model that is more than weights; no package onnx.
        FileError: a malformed model; a written file that is not what was meant.
    """
    _check_paths(model, out, resume or overwrite)
    checkpoint = open_checkpoint(model)
    plan = plan_export(checkpoint, engine, target(), requantize) if checkpoint.schemes else {}
    source = Exported(checkpoint, engine, target(), plan)
    digests, _ = check_inputs(checkpoint, engine)
    record = run_record("export", {"to": "onnx", "requantize": requantize}, digests)
    schemes = {layer: one.scheme for layer, one in plan.items()}
    spans, weights = _layout(checkpoint.config, schemes)
    metadata = {RUN: canonical({"run": record})} | _texts(checkpoint, digests)
    graph = onnx_bytes(graph_of(checkpoint.config, schemes), weights, f"{os.path.basename(out)}.data", metadata)
    needed = weights[-1][-1] + len(graph) + 2**14
    say_bounds(memory_bound(llama_tensors(checkpoint.config).values()), needed)
    with opened((model, out), record, needed, resume, overwrite, Kind(_run_of, file=True)) as begun:
        if begun is not None:
            output.write_file(begun.model, graph)
            where = os.path.join(begun.room, f"{os.path.basename(out)}.data"), weights[-1][-1]
            write_tensors(begun, where, [], spans, functools.partial(_pieces, source), "exporting")
        written, _ = open_model(out if begun is None else begun.model, engine, schemes)
        report = compared(written, source)
        why = {layer: one.fault for layer, one in plan.items() if one.fault}
        figures = {layer: _figures(written, source, layer) for layer in why}
    return {"written": begun is not None, **report, "requantized": figures, "why": why}


def _check_paths(model, out, replace):
    output.check_paths(model, out, replace, file=True)
    if not os.fspath(out).lower().endswith(".onnx"):
        raise UsageError(f"OUT {out}: a name that ends in .onnx is needed")
    if os.path.lexists(f"{out}.data") and not replace:
        raise UsageError(f"{out}.data exists, which will hold the weights; --overwrite replaces it")
    onnx_package()


def _run_of(out):
    return json.loads(open_onnx(out).metadata[RUN])["run"]


def _layout(config, schemes):
    """Where all lies in the file of weights: tensor name -> {part: (start, end)}, and the parts as onnx_bytes has them.

    Each part begins with a page.
    """
    spans, weights, end = {}, [], 0
    for name, shape in llama_tensors(config).items():
        layer, spans[name] = name.removesuffix(".weight"), {}
        parts = {name: (("F32",), shape[::-1] if is_transposed(name) else shape)}
        if name == f"{layer}.weight" and layer in schemes:
            parts = packed_tensors(layer, shape, schemes[layer])
        for part, (dtypes, stored) in parts.items():
            start = -(-end // _PAGE) * _PAGE
            end = start + plan_offsets([(part, dtypes[0], stored)])[0][1]
            spans[name][part] = start, end
            weights.append((part, dtypes[0], stored, start, end))
    return spans, weights


def _texts(checkpoint, digests):
    """The files beside the weights that are text, by their keys of metadata."""
    found = {}
    for name in carried(checkpoint.directory):
        try:
            found[PREFIX + name] = read_small(checkpoint.directory, name, digests[name]).decode()
        except UnicodeDecodeError:  # tokenizer.model; tokenizer.json says the same
            continue
    raw = json.loads(read_small(checkpoint.directory, "config.json", digests["config.json"]))
    raw = {key: value for key, value in raw.items() if key not in OF_WEIGHTS}
    return found | {f"{PREFIX}config.json": json.dumps(raw)}


def _pieces(source, name):
    """(part, array) of all that stands for a tensor of the model."""
    checkpoint, engine, form, plan = source
    layer, shape = name.removesuffix(".weight"), llama_tensors(checkpoint.config)[name]
    if name == f"{layer}.weight" and layer in plan:
        grid = grid_for(read_grid(checkpoint, layer, shape, engine), plan[layer], engine)
        yield from form.tensors(layer, plan[layer].scheme, grid, engine)
    else:
        yield from ((name, rows) for rows in turned_rows(checkpoint, name, shape, engine))


def _figures(written, source, layer):
    """How far the new grid of a layer is from its own."""
    shape = source.plan[layer].facts.shape
    before, after = (read_grid(checkpoint, layer, shape, source.engine) for checkpoint in (source.checkpoint, written))
    return error_figures(list(moved(before, after, shape, source.engine)))
