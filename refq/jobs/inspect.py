"""What is in a model directory: tensors, shapes, bits, bytes, and how far it is from its original."""

import json
import math

from refq.errors import FormatError, UsageError
from refq.files.checkpoint import check_finite, llama_tensors, open_checkpoint
from refq.files.gguf import is_gguf, open_gguf
from refq.files.quantization import packed_tensors, scheme_text
from refq.files.reassembled import Attention, Reassembled, Rotated
from refq.files.safetensors import as_float32
from refq.jobs.figures import error_figures, six_digits, sums
from refq.jobs.gguf import list_gguf, open_model, read_tensor, run_of
from refq.jobs.plan import row_chunks
from refq.jobs.stored import weight_rows
from refq.jobs.stored_inputs import read_reassembly

UNKNOWN = {"sqnr_db": None, "max_error": None}
KINDS = ("embedding", "attention", "mlp", "norm", "bias", "lm_head")


def inspect_model(directory, original=None, engine=None):
    """Every tensor of a model, float or quantized.

    Parameters
        directory: the model, a directory or a GGUF file.
        original: the model to compare with, or None: then the figures are those that quantize recorded.
        engine: who computes the comparison.
    Returns
        dict: "run", the run record of quantize or None; "attention", the fields of Attention; "tensors", a list of
            dicts in the order of the model with name, kind, shape, format, bits_per_weight, bytes, sqnr_db, max_error
            (None where unknown or exact). A reassembled weight is compared with the original one, reassembled too; a
            rotated one is not compared.
    """
    if is_gguf(directory):
        return _inspect_gguf(directory, original, engine)
    checkpoint = open_checkpoint(directory)
    run, figures = _recorded(checkpoint)
    rows = list_tensors(checkpoint)
    if original is not None:
        other = open_checkpoint(original)
        if llama_tensors(other.config) != llama_tensors(checkpoint.config):
            raise UsageError(f"{original} has other tensors than {directory}; the original of this model is needed")
        figures = {row["name"]: _compare(checkpoint, other, row["name"], row["shape"], engine) for row in rows}
    for row in rows:
        known = figures.get(row["name"], figures.get(row["name"].removesuffix(".weight"), UNKNOWN))
        row |= {key: known[key] for key in UNKNOWN}
    attention = {key: checkpoint.config[key] for key in Attention._fields}
    return {"run": run, "attention": attention, "tensors": rows}


def list_tensors(checkpoint):
    """What inspect_model says of every tensor, without figures and record."""
    return [_row(checkpoint, name, shape) for name, shape in llama_tensors(checkpoint.config).items()]


def summarize(rows, before):
    """Totals by kind of tensor.

    Parameters
        rows, before: list_tensors of the quantized model and of its original.
    Returns
        list of dicts: kind, tensors, bits_per_weight, bytes_before, bytes; the last two of kinds "quantized" and "all".
    """
    totals, quantized = [], {row["name"] for row in rows if row["format"].startswith(("int", "index"))}
    for kind in (*KINDS, "quantized", "all"):
        chosen = {row["name"] for row in rows if kind in ("all", row["kind"])} if kind != "quantized" else quantized
        here, there = ([row for row in some if row["name"] in chosen] for some in (rows, before))
        if here:
            size, weights = sum(row["bytes"] for row in here), sum(math.prod(row["shape"]) for row in here)
            total = {"kind": kind, "tensors": len(here), "bits_per_weight": six_digits(8 * size / weights)}
            totals.append(total | {"bytes_before": sum(row["bytes"] for row in there), "bytes": size})
    return totals


def _inspect_gguf(path, original, engine):
    rows = [row | {"kind": _kind(row["name"])} | UNKNOWN for row in list_gguf(path)]
    if original is not None:
        other = open_checkpoint(original)
        if llama_tensors(other.config) != {row["name"]: tuple(row["shape"]) for row in rows}:
            raise UsageError(f"{original} has other tensors than {path}; the original of this model is needed")
        file, config, _ = open_model(path)
        for row in rows:
            x_hat, chunks = read_tensor(file, row["name"], config, engine), row_chunks(row["shape"])
            pairs = zip(chunks, float_rows(other, row["name"], row["shape"], engine), strict=True)
            row |= error_figures([sums(x, x_hat[slice(*chunk)]) for chunk, x in pairs])
    return {"run": run_of(open_gguf(path)), "attention": Attention()._asdict(), "tensors": rows}


def float_rows(checkpoint, name, shape, engine):
    """The rows of one tensor as float32, the numbers that are stored, in chunks."""
    layer = name.removesuffix(".weight")
    if name.endswith(".weight") and layer in checkpoint.schemes:
        [stored, *_] = packed_tensors(layer, shape, checkpoint.schemes[layer])
        for start, rows in weight_rows(checkpoint, layer, shape, engine):
            yield check_finite(rows, name, checkpoint.tensors[stored][0], start)
        return
    for start, stop in row_chunks(shape):
        rows = checkpoint.read_rows(name, start, stop)
        yield as_float32(check_finite(rows, name, checkpoint.tensors[name][0], start))


def _row(checkpoint, name, shape):
    layer = name.removesuffix(".weight")
    scheme = checkpoint.schemes.get(layer) if name.endswith(".weight") else None
    parts = packed_tensors(layer, shape, scheme) if scheme else [name]
    infos = [checkpoint.tensors[part][1] for part in parts]
    size = sum(info.end - info.start for info in infos)
    form = scheme_text(scheme) if scheme else infos[0].dtype
    bits = six_digits(8 * size / math.prod(shape))
    row = {"name": name, "kind": _kind(name), "shape": list(shape), "format": form}
    return row | {"bits_per_weight": bits, "bytes": size}


def _kind(name):
    if name.endswith(".bias"):
        return "bias"
    found = (("self_attn", "attention"), ("mlp", "mlp"), ("embed_tokens", "embedding"), ("lm_head", "lm_head"))
    return next((kind for part, kind in found if f".{part}." in f".{name}"), "norm")


def _recorded(checkpoint):
    run, figures = None, {}
    for file, metadata in checkpoint.metadata.items():
        if "refq" in metadata:
            try:
                said = json.loads(metadata["refq"])
                run, figures = dict(said["run"]), figures | said["figures"]
                layers = [(line["sqnr_db"], line["max_error"]) for line in said["figures"].values()]
            except (ValueError, TypeError, KeyError, RecursionError) as error:
                raise FormatError(f"{file}: the metadata `refq` is not what quantize writes ({error!r})") from None
            if not all(isinstance(value, int | float | None) for line in layers for value in line):
                raise FormatError(f"{file}: the metadata `refq` holds figures that are no numbers")
    measured = {name: line for name, line in figures.items() if line["sqnr_db"] is not None or line["max_error"]}
    return run, measured  # weights that a method made, and stored exactly, were measured against nothing


def _compare(checkpoint, other, name, shape, engine):
    ours, theirs = (_transform(one, name) for one in (checkpoint, other))
    if isinstance(ours, Rotated) or isinstance(theirs, (Rotated, Reassembled)):
        return UNKNOWN
    pairs = zip(float_rows(other, name, shape, engine), float_rows(checkpoint, name, shape, engine), strict=True)
    if isinstance(ours, Reassembled):
        form = read_reassembly(checkpoint, name.removesuffix(".weight"), shape[1])
        pairs = ((engine.reassemble_weight(x, form), x_hat) for x, x_hat in pairs)
    return error_figures([sums(x, x_hat) for x, x_hat in pairs])


def _transform(checkpoint, name):
    scheme = checkpoint.schemes.get(name.removesuffix(".weight")) if name.endswith(".weight") else None
    return scheme and scheme.transform
