"""A GGUF file to a model directory: Q4_0 and Q8_0 keep their codes, other types become the floats they stand for."""

import json
import os

import numpy as np

from refq.errors import CheckpointError, RefqError, UsageError
from refq.files.checkpoint import check_finite, linear_names, open_checkpoint
from refq.files.compressed_tensors import Scheme, packed_tensors
from refq.files.config import ARCHITECTURES
from refq.files.gguf_model import gguf_name, heads_of, rows_from_gguf
from refq.files.gguf_tokenizer import tokenizer_json
from refq.files.quantization import quantization_config
from refq.files.safetensors import header_bytes, plan_offsets
from refq.jobs import output
from refq.jobs.gguf import open_model, read_codes, read_tensor
from refq.jobs.progress import progress
from refq.jobs.quantize import write_pretty
from refq.jobs.stored_grid import read_grid

_SCHEMES = {"Q4_0": Scheme(4, True, "group", 32), "Q8_0": Scheme(8, True, "group", 32)}
_STORED = {"F32": np.float32, "F16": np.float16}


def import_gguf(path, out, engine, overwrite=False):
    """Write a GGUF file as a model directory with tokenizer, read the codes back, and compare them.

    A linear layer of Q4_0 or Q8_0 becomes compressed-tensors with groups of 32 and scales of float16; F32, F16 and
    BF16 tensors stay as they are; other types become F32, exactly the numbers that llama.cpp makes of them. Blocks of
    zeros get scale 1 and codes 0.

    Parameters
        path: the GGUF file.
        out: the directory to write; it appears when it is whole and compared.
        engine: refq or refq_fast.
        overwrite: replace `out` if it exists.
    Returns
        report: dict "layers" and "codes" that were kept and compared; "floats", name -> type of tensors that were
            decoded to F32.
    Raises
        UsageError: `out` exists.
        FileError: a malformed file, or a model or tokenizer that we do not support.
    """
    target = output.check_paths(path, out, overwrite)
    file, config, shapes = open_model(path)
    tokenizer = tokenizer_json(file.header.metadata, path)
    kinds = {name: file.header.tensors[gguf_name(name)].kind for name in shapes}
    linear = [*linear_names(config), *([] if config["tie_word_embeddings"] else ["lm_head"])]
    schemes = {n: _SCHEMES[kinds[f"{n}.weight"]] for n in linear if kinds[f"{n}.weight"] in _SCHEMES}
    entries = [entry for name, shape in shapes.items() for entry in _entries(name, shape, kinds[name], schemes)]
    header = header_bytes(entries, {"format": "pt"})
    needed = len(header) + plan_offsets(entries)[-1][1]
    with output.claim(target) as room, output.disk_errors(target, needed):
        output.check_space(room, target, needed)
        output.clear(room)
        model = os.path.join(room, "model")
        os.mkdir(model)
        try:
            with output.allocated(os.path.join(model, "model.safetensors"), needed) as weights:
                output.write(weights, header, 0)
                _write(weights, len(header), (file, config, engine), shapes, schemes)
                os.fsync(weights)
            output.write_file(os.path.join(model, "tokenizer.json"), json.dumps(tokenizer).encode())
            write_pretty(os.path.join(model, "config.json"), _config(config, schemes, linear))
            codes = _compared(model, file, config, engine, schemes)
        except RefqError:
            output.discard(room)
            raise
        output.publish(room, target, overwrite)
    kept = {f"{name}.weight" for name in schemes}
    floats = {n: kind for n, kind in kinds.items() if n not in kept and kind not in (*_STORED, "BF16")}
    return {"layers": len(schemes), "codes": codes, "floats": floats}


def _entries(name, shape, kind, schemes):
    """(name, dtype, shape) of the tensors that stand for one."""
    layer = name.removesuffix(".weight")
    if layer in schemes:
        stored = packed_tensors(layer, shape, schemes[layer])
        return [(n, "F16" if n.endswith("_scale") else dtypes[0], s) for n, (dtypes, s) in stored.items()]
    return [(name, kind if kind in (*_STORED, "BF16") else "F32", shape)]


def _write(weights, position, source, shapes, schemes):
    file, config, engine = source
    with progress(sum(int(np.prod(shape)) for shape in shapes.values()), "weights", "importing") as advance:
        for name, shape in shapes.items():
            layer, info = name.removesuffix(".weight"), file.header.tensors[gguf_name(name)]
            if layer in schemes:
                q, scale = read_codes(file, name, config, engine)
                words = engine.pack_compressed_tensors(q, schemes[layer].bits)
                parts = words, scale.astype(np.float16), np.array(shape, np.int64)
            elif info.kind == "BF16":  # its bytes, in our order of rows
                heads = heads_of(name, config)
                raw = file.rows(info.name, 0, int(np.prod(shape[:-1])))
                check_finite((raw.view("<u2").astype(np.uint32) << 16).view(np.float32), info.name, file.path)
                parts = (raw[rows_from_gguf(shape[0], heads)] if heads else raw,)
            else:
                parts = (read_tensor(file, name, config, engine).astype(_STORED.get(info.kind, np.float32)),)
            for part in parts:
                output.write(weights, np.ascontiguousarray(part).reshape(-1).view(np.uint8), position)
                position += part.nbytes
            advance(int(np.prod(shape)))


def _config(config, schemes, linear):
    """config.json of transformers."""
    raw = {"architectures": [ARCHITECTURES[config["model_type"]]]}
    keys = ("model_type", "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    keys += ("num_key_value_heads", "head_dim", "max_position_embeddings", "rms_norm_eps", "rope_theta", "rope_scaling")
    raw |= {key: config[key] for key in (*keys, "tie_word_embeddings", "attention_bias", "mlp_bias", "bos_token_id")}
    ends = config["eos_token_ids"]
    raw |= {"eos_token_id": ends if len(ends) != 1 else ends[0], "hidden_act": "silu"}
    if config["attention_bias"] != config["attention_output_bias"]:
        raise UsageError(
            "q, k and v have biases and o has none, or the other way round; config.json has one word for both"
        )
    if schemes:
        raw["quantization_config"] = quantization_config(schemes, [name for name in linear if name not in schemes])
    return raw


def _compared(model, file, config, engine, schemes):
    """How many codes were read back as they are in the file; another one is refused."""
    written, count = open_checkpoint(model), 0
    for layer in schemes:
        q, scale = read_codes(file, f"{layer}.weight", config, engine)
        grid = read_grid(written, layer, q.shape, engine)
        if not np.array_equal(grid.codes(0, len(q)), q) or not np.array_equal(grid.scale, scale):
            raise CheckpointError(f"{model}: layer {layer}: what was written is not what was meant")
        count += q.size
    return count
