"""A model directory to a GGUF file: codes as they are where the type holds them, else llama.cpp's own rounding."""

import functools
import os

import numpy as np

from refq.errors import GridError, UsageError
from refq.files.checkpoint import open_checkpoint
from refq.files.gguf import gguf_header_bytes, open_gguf
from refq.files.gguf_metadata import model_metadata, token_metadata
from refq.files.gguf_types import Value, padded
from refq.files.gguf_vocabulary import tokenizer_metadata
from refq.files.strict import read_json
from refq.files.tokenizer import CEILING, TokenizerError, special_ids
from refq.jobs import output
from refq.jobs.figures import error_figures, sums
from refq.jobs.gguf import CHAT_TEMPLATE, FLOATS, RUN, as_stored, memory_bound, read_rows, rope_factors, run_of, told
from refq.jobs.gguf_grid import check_kept, in_file_order, kept_blocks
from refq.jobs.gguf_plan import plan_gguf
from refq.jobs.inputs import check_inputs
from refq.jobs.inspect import float_rows
from refq.jobs.journal import canonical, run_record
from refq.jobs.progress import progress, say_bounds
from refq.jobs.room import Kind, opened
from refq.jobs.spans import write_tensors
from refq.jobs.stored_grid import read_grid


def write_gguf(model, out, engine, kind, pre=None, requantize=False, resume=False, overwrite=False):
    """Write a model as a GGUF file that llama.cpp loads, read it back and compare it.

    A quantized layer keeps its codes if the type holds its grid: groups of a multiple of 32, scales (and for Q4_1
    minima) that are numbers of float16, and for the others no zero point. A float layer is rounded as llama.cpp does.

    Parameters
        model: a model directory, float or quantized.
        out: the file; it appears when it is whole and compared.
        engine: refq or refq_fast.
        kind: the type of the linear layers of the blocks, one of refq.jobs.gguf_plan.TYPES.
        pre: llama.cpp's name of how words are cut; None to recognise it.
        requantize: bool; a quantized layer whose grid the type does not hold is rounded once more.
        resume, overwrite: as quantize_model takes them.
    Returns
        report: dict "written"; "tensors"; "lossless" (layers), "codes" (of them) that were compared; "fallbacks", name
            -> type; "errors", name -> figures of tensors that were rounded.
    Raises
        UsageError: a grid that the type does not hold, or a model that is more than weights.
        FileError: a malformed model; a tokenizer that a GGUF file cannot say; a file that is not what was meant.
    """
    output.check_paths(model, out, resume or overwrite, file=True)
    checkpoint = open_checkpoint(model)
    _refuse_inputs(checkpoint)
    plan = plan_gguf(checkpoint, kind, engine, requantize)
    metadata, (digests, _) = _metadata(checkpoint, kind.upper(), pre), check_inputs(checkpoint, engine)
    options = {"to": "gguf", "type": kind, "pre": pre, "requantize": requantize, "name": _name(checkpoint)}
    record = run_record("export", options, digests)
    header, places = gguf_header_bytes(metadata | {RUN: Value("str", canonical(record))}, [one[1:4] for one in plan])
    needed = padded(sum(places[-1]), 32)
    say_bounds(memory_bound(checkpoint.config), needed)
    with opened((model, out), record, needed, resume, overwrite, Kind(_run_of, file=True)) as begun:
        if begun is not None:
            named = zip((one.name for one in plan), places, strict=True)
            spans = {name: {name: (start, start + count)} for name, (start, count) in named}
            pieces = functools.partial(_pieces, {one.name: one for one in plan}, checkpoint, engine)
            write_tensors(begun, (begun.model, needed), [(0, header)], spans, pieces, "writing")
        report = _compared(open_gguf(out if begun is None else begun.model), plan, checkpoint, engine)
    fallbacks = {one.name: one.kind for one in plan if one.fallback}
    return {"written": begun is not None, "tensors": len(plan), **report, "fallbacks": fallbacks}


def _run_of(out):
    return dict(run_of(open_gguf(out)))  # that of others has None, a TypeError


def _refuse_inputs(checkpoint):
    transformed = [name for name, scheme in checkpoint.schemes.items() if getattr(scheme, "transform", None)]
    inputs = [name for name, scheme in checkpoint.schemes.items() if getattr(scheme, "inputs", None)]
    if transformed or inputs or checkpoint.config.get("attention_activations"):
        name = (transformed or inputs or ["attention"])[0]
        raise UsageError(
            f"{checkpoint.directory}: {name} quantizes or changes its inputs; a GGUF file holds weights alone"
        )


def _metadata(checkpoint, kind, pre):
    path = os.path.join(checkpoint.directory, "tokenizer.json")
    raw, config = read_json(path, CEILING, TokenizerError), checkpoint.config
    vocabulary = tokenizer_metadata(raw, config["vocab_size"], pre, path)
    bos, ends = special_ids(checkpoint.directory, config)
    found = model_metadata(config, kind, _name(checkpoint)) | vocabulary | token_metadata(bos, ends, vocabulary)
    return found | _template(checkpoint)


def _name(checkpoint):
    return os.path.basename(os.path.abspath(checkpoint.directory))


def _template(checkpoint):
    path = os.path.join(checkpoint.directory, "tokenizer_config.json")
    text = read_json(path, CEILING, TokenizerError).get("chat_template") if os.path.lexists(path) else None
    return {CHAT_TEMPLATE: Value("str", text)} if isinstance(text, str) else {}


def _pieces(plan, checkpoint, engine, name):
    """(name, array) of all that stands for a tensor of the file."""
    yield from ((name, array) for array in _arrays(plan, checkpoint, engine, name))


def _arrays(plan, checkpoint, engine, name):
    one = plan[name]
    if one.source is None:
        yield rope_factors(checkpoint.config).astype("<f4")
    elif one.kept:
        grid = read_grid(checkpoint, one.layer, one.shape, engine)
        yield from in_file_order(one, kept_blocks(grid, one.kind, engine), checkpoint.config)
    else:
        encode, where = functools.partial(_as, one.kind, engine), checkpoint.directory
        chunks = float_rows(checkpoint, one.source, one.shape, engine)
        rows = (told(where, one.source, encode, x) for x in chunks)
        yield from in_file_order(one, rows, checkpoint.config)


def _as(kind, engine, x):
    """Rows of numbers in a type."""
    if kind not in (*FLOATS, "BF16"):
        return getattr(engine, f"encode_{kind.lower()}")(x)
    with np.errstate(over="ignore"):
        stored = as_stored(x, kind)  # an embedding of BF16 is stored so: nothing is rounded
    if kind == "F16" and not np.isfinite(stored).all():
        raise GridError(f"{np.abs(x).max():g} is beyond {kind}; F32 holds it")
    return stored


def _compared(file, plan, checkpoint, engine):
    """Read a file back: codes that were kept must be the same ones; of what was rounded, how far it is."""
    report, total = {"lossless": 0, "codes": 0, "errors": {}}, sum(int(np.prod(one.shape)) for one in plan)
    with progress(total, "weights", "comparing") as advance:
        for one in plan:
            if one.kept:
                grid = read_grid(checkpoint, one.layer, one.shape, engine)
                report["codes"] += check_kept(file, one, grid, checkpoint.config, engine)
                report["lossless"] += 1
            elif one.kind not in ("F32", "BF16"):
                back = (x for _, x in read_rows(file, one.source, checkpoint.config, engine))
                rows = zip(float_rows(checkpoint, one.source, one.shape, engine), back, strict=True)
                figures = error_figures([sums(*pair) for pair in rows])
                report["errors"] |= {one.source: figures} if figures["max_error"] else {}
            advance(int(np.prod(one.shape)))
    return report
