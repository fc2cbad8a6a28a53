"""A model directory to a GGUF file: codes as they are where the type holds them, else llama.cpp's own rounding."""

import os

import numpy as np

from refq.errors import UsageError
from refq.files.checkpoint import check_finite, llama_tensors, open_checkpoint
from refq.files.gguf import gguf_header_bytes, open_gguf
from refq.files.gguf_metadata import model_metadata, token_metadata
from refq.files.gguf_types import Value
from refq.files.gguf_vocabulary import tokenizer_metadata
from refq.files.strict import read_json
from refq.files.tokenizer import CEILING, TokenizerError, special_ids
from refq.jobs import output
from refq.jobs.figures import error_figures, sums
from refq.jobs.gguf import rope_factors
from refq.jobs.gguf_grid import BITS, check_kept, kept_blocks, row_order
from refq.jobs.gguf_plan import plan_gguf
from refq.jobs.inputs import check_inputs
from refq.jobs.plan import row_chunks
from refq.jobs.progress import progress
from refq.jobs.stored import weight_rows

_FLOATS = {"F32": "<f4", "F16": "<f2"}


def write_gguf(model, out, engine, kind, pre=None, requantize=False, overwrite=False):
    """Write a model as a GGUF file that llama.cpp loads.

    A quantized layer keeps its codes if the type holds its grid: groups of a multiple of 32, scales (and for Q4_1
    minima) that are numbers of float16, and for Q4_0 and Q8_0 no zero point. A float layer is rounded as llama.cpp
    does. The file appears when it is whole.

    Parameters
        model: a model directory, float or quantized.
        out: the file.
        engine: refq or refq_fast.
        kind: the type of the linear layers of the blocks, one of refq.jobs.gguf_plan.TYPES.
        pre: llama.cpp's name of how words are cut; None to recognise it.
        requantize: bool; a quantized layer whose grid the type does not hold is rounded once more.
        overwrite: replace `out` if it exists.
    Returns
        report: dict "tensors", "lossless" (layers), "codes" (of them), "fallbacks" name -> type, "errors" name ->
            figures of layers that were rounded.
    Raises
        UsageError: a grid that the type does not hold, or a model that is more than weights.
        FileError: a malformed model, or a tokenizer that a GGUF file cannot say.
    """
    target, checkpoint = output.check_paths(model, out, overwrite, file=True), open_checkpoint(model)
    _check_model(checkpoint, kind, requantize)
    check_inputs(checkpoint)
    config = checkpoint.config
    plan = plan_gguf(llama_tensors(config), kind, config, _floats(checkpoint))
    header, spans = gguf_header_bytes(_metadata(checkpoint, kind.upper(), pre), [one[1:4] for one in plan])
    needed = -(-sum(spans[-1]) // 32) * 32
    with output.claim(target) as room, output.disk_errors(target, needed):
        output.check_space(room, target, needed)
        output.clear(room)
        path = os.path.join(room, "model")
        try:
            with output.allocated(path, needed) as file:
                output.write(file, header, 0)
                kept, errors = _write(file, checkpoint, engine, list(zip(plan, spans, strict=True)), requantize)
                os.fsync(file)
            back = open_gguf(path)
            codes = sum(check_kept(back, one, checkpoint, engine) for one in kept)
        except BaseException:
            output.discard(room)
            raise
        output.publish(room, target, overwrite)
    fallbacks = {one.name: one.kind for one in plan if one.fallback}
    counts = {"tensors": len(plan), "lossless": len(kept), "codes": codes}
    return counts | {"fallbacks": fallbacks, "errors": errors}


def _check_model(checkpoint, kind, requantize):
    transformed = [name for name, scheme in checkpoint.schemes.items() if getattr(scheme, "transform", None)]
    inputs = [name for name, scheme in checkpoint.schemes.items() if getattr(scheme, "inputs", None)]
    if transformed or inputs or checkpoint.config.get("attention_activations"):
        name = (transformed or inputs or ["attention"])[0]
        raise UsageError(
            f"{checkpoint.directory}: {name} quantizes or changes its inputs; a GGUF file holds weights alone"
        )
    if checkpoint.schemes and kind.upper() not in (*BITS, *_FLOATS) and not requantize:
        raise UsageError(f"the model is quantized, and {kind} rounds anew; --requantize does, and prints the errors")


def _floats(checkpoint):
    """The type of the embedding; F32 where its numbers are made of codes."""
    found = checkpoint.tensors.get("model.embed_tokens.weight")
    return found[1].dtype if found else "F32"


def _metadata(checkpoint, kind, pre):
    path = os.path.join(checkpoint.directory, "tokenizer.json")
    raw, config = read_json(path, CEILING, TokenizerError), checkpoint.config
    vocabulary = tokenizer_metadata(raw, config["vocab_size"], pre, path)
    bos, ends = special_ids(checkpoint.directory, config)
    name = os.path.basename(os.path.abspath(checkpoint.directory))
    return (
        model_metadata(config, kind, name) | vocabulary | token_metadata(bos, ends, vocabulary) | _template(checkpoint)
    )


def _template(checkpoint):
    path = os.path.join(checkpoint.directory, "tokenizer_config.json")
    text = read_json(path, CEILING, TokenizerError).get("chat_template") if os.path.lexists(path) else None
    return {"tokenizer.chat_template": Value("str", text)} if isinstance(text, str) else {}


def _write(file, checkpoint, engine, places, requantize):
    """Write every tensor; gives those that kept their codes, and figures of the errors of the others."""
    kept, errors = [], {}
    with progress(sum(int(np.prod(one.shape)) for one, _ in places), "weights", "writing") as advance:
        for one, (start, _) in places:
            layer = (one.source or "").removesuffix(".weight")
            quantized = layer in checkpoint.schemes
            data = kept_blocks(checkpoint, one, engine) if quantized and one.kind in BITS else None
            if data is not None:
                kept.append(one)
            elif quantized and one.kind not in _FLOATS and not requantize:
                rule = f"its grid is none of {one.kind}; --requantize rounds it, and prints the error"
                raise UsageError(f"layer {layer}: {rule}")
            else:
                data, figures = _rounded(checkpoint, one, engine)
                errors |= {one.source: figures} if figures and figures["max_error"] else {}
            data = np.ascontiguousarray(data[row_order(one, checkpoint.config)]).view(np.uint8).reshape(-1)
            output.write(file, data, start)
            advance(int(np.prod(one.shape)))
    return kept, errors


def _rounded(checkpoint, one, engine):
    """The rows of a tensor in its type, and figures of the error of linear layers."""
    if one.source is None:
        return rope_factors(checkpoint.config).astype("<f4")[None], None
    parts, errors = [], []
    for start, x in _float_rows(checkpoint, one, engine):
        x = check_finite(x, one.source, checkpoint.directory, start)
        parts.append(_as(x, one, engine))
        if one.kind not in ("F32", "BF16") and len(one.shape) == 2:
            errors.append(sums(x, _back(parts[-1], one, engine)))
    return np.concatenate(parts), error_figures(errors) if errors else None


def _float_rows(checkpoint, one, engine):
    layer = one.source.removesuffix(".weight")
    if layer in checkpoint.schemes and one.source.endswith(".weight"):
        yield from weight_rows(checkpoint, layer, one.shape, engine)
        return
    for start, stop in row_chunks(one.shape):
        yield start, checkpoint.read_rows(one.source, start, stop).astype(np.float32)


def _as(x, one, engine):
    if one.kind == "BF16":  # the embedding as it is stored: nothing is rounded
        return (x.view(np.uint32) >> np.uint32(16)).astype("<u2")
    if one.kind not in _FLOATS:
        return getattr(engine, f"encode_{one.kind.lower()}")(x)
    with np.errstate(over="ignore"):
        half = x.astype(_FLOATS[one.kind])
    if not np.isfinite(half).all():
        raise UsageError(f"{one.source} has numbers beyond {one.kind}; f32 holds them")
    return half


def _back(packed, one, engine):
    if one.kind in _FLOATS:
        return packed.astype(np.float32)
    return getattr(engine, f"decode_{one.kind.lower()}")(packed)
