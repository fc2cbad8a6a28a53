"""An ONNX file to a model directory: MatMulNBits keeps its codes, MatMul its floats."""

import os

from refq.errors import FormatError
from refq.files.checkpoint import linear_names, llama_tensors, open_checkpoint
from refq.files.compressed_tensors import packed_tensors
from refq.files.onnx_model import PREFIX
from refq.files.shards import weight_files
from refq.files.strict import parse_object, shown
from refq.files.tokenizer import open_tokenizer
from refq.jobs import output
from refq.jobs.beside import write_pretty
from refq.jobs.export import Exported, compared
from refq.jobs.export_plan import memory_bound, parts_of, plan_export
from refq.jobs.figures import EXACT
from refq.jobs.formats import OURS
from refq.jobs.inputs import digest_of, is_carried
from refq.jobs.journal import run_record
from refq.jobs.onnx import open_model, turned_rows
from refq.jobs.plan import Unit
from refq.jobs.progress import say_bounds
from refq.jobs.room import opened
from refq.jobs.shards import plan_shards, write_shards
from refq.jobs.stored_grid import read_grid


def import_onnx(path, out, engine, resume=False, overwrite=False):
    """Write an ONNX file that refq export wrote as a model directory, read the codes back, and compare them.

    MatMul may have become MatMulNBits since, as ONNX Runtime's quantizer does it; all else must be as it was written.

    Parameters
        path: the ONNX file; its weights may lie beside.
        out: the directory to write; it appears when it is whole and compared.
        engine: refq or refq_fast.
        resume, overwrite: as quantize_model takes them.
    Returns
        report: as export_model gives it.
    Raises
        UsageError: `out` exists.
        FileError: a malformed file; another graph; no config or tokenizer in its metadata.
    """
    output.check_paths(path, out, resume or overwrite)
    checkpoint, metadata = open_model(path, engine)
    texts = _texts(metadata, path)
    plan = plan_export(checkpoint, engine, OURS, False) if checkpoint.schemes else {}
    source = Exported(checkpoint, engine, OURS, plan)
    inputs = {os.path.basename(file): digest_of(file) for file in checkpoint.files}
    record = run_record("import", {}, inputs)
    shards = plan_shards({weight_files()[0]: list(_units(source))}, record)
    needed = sum(layout.size for _, layout in shards.values()) + sum(map(len, texts.values())) + 2**14
    needed += 2**11 * len(checkpoint.tensors)
    say_bounds(memory_bound(llama_tensors(checkpoint.config).values()), needed)
    with opened((path, out), record, needed, resume, overwrite) as begun:
        if begun is not None:
            _write_texts(texts, source, begun.model)
            write_shards(begun.room, shards, source, record, begun.done, _pieces, "importing")
            _write_config(metadata, source, begun.model)
        report = compared(open_checkpoint(out if begun is None else begun.model), source)
    return {"written": begun is not None, **report, "requantized": {}, "why": {}}


def _texts(metadata, path):
    """Name -> bytes of the files beside the weights."""
    found = {key.removeprefix(PREFIX): text.encode() for key, text in metadata.items() if key.startswith(PREFIX)}
    for name in found:
        if name != "config.json" and not is_carried(name):
            raise FormatError(f"{path}: metadata holds a file {shown(name)}, which has no place in a model directory")
    return found


def _units(source):
    schemes = {layer: one.scheme for layer, one in source.plan.items()}
    for name, shape in llama_tensors(source.checkpoint.config).items():
        layer, parts = name.removesuffix(".weight"), [(name, "F32", shape)]
        scheme = schemes.get(layer) if name.endswith(".weight") else None
        if scheme:
            parts = parts_of(packed_tensors(layer, shape, scheme))
        yield Unit(name, shape, scheme, parts)


def _pieces(unit, source, errors):
    """(tensor name, array) of all that stands for a tensor."""
    checkpoint, engine = source.checkpoint, source.engine
    if unit.scheme:
        grid = read_grid(checkpoint, unit.layer, unit.shape, engine)
        yield from OURS.tensors(unit.layer, unit.scheme, grid, engine)
        errors.append(EXACT)
        return
    stored = checkpoint.tensors[unit.name][1].shape
    yield from ((unit.name, rows) for rows in turned_rows(checkpoint, unit.name, stored, engine))


def _write_texts(texts, source, model):
    for name, text in texts.items():
        if name != "config.json":
            output.write_file(os.path.join(model, name), text)
    open_tokenizer(model, source.checkpoint.config["vocab_size"])


def _write_config(metadata, source, model):
    config, schemes = source.checkpoint.config, {layer: one.scheme for layer, one in source.plan.items()}
    raw = parse_object(metadata[f"{PREFIX}config.json"], "config.json", FormatError) | {"dtype": "float32"}
    raw |= OURS.config(schemes, linear_names(config)) if schemes else {}
    write_pretty(os.path.join(model, "config.json"), raw)  # last: without it nothing loads
