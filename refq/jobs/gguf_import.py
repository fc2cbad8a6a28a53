"""A GGUF file to a model directory: affine blocks keep their codes, other types become the floats they stand for."""

import functools
import json
import os
from typing import NamedTuple

import numpy as np

from refq.errors import UsageError
from refq.files.checkpoint import linear_names, open_checkpoint
from refq.files.compressed_tensors import Scheme, packed_tensors
from refq.files.config import ARCHITECTURES
from refq.files.gguf_model import gguf_name
from refq.files.gguf_tokenizer import tokenizer_json
from refq.files.quantization import quantization_config
from refq.files.shards import weight_files
from refq.jobs import output
from refq.jobs.beside import write_pretty
from refq.jobs.figures import EXACT
from refq.jobs.formats import OURS
from refq.jobs.gguf import CHAT_TEMPLATE, FLOATS, PACKED, as_stored, memory_bound, open_model, read_blocks, read_rows
from refq.jobs.inputs import digest_of
from refq.jobs.journal import run_record
from refq.jobs.plan import Unit
from refq.jobs.progress import say_bounds
from refq.jobs.read_back import check_layers
from refq.jobs.room import opened
from refq.jobs.shards import plan_shards, write_shards


class Imported(NamedTuple):
    """What the pieces of an import are made of.

    kinds: Hugging Face name -> the type in the file.
    schemes: layer name -> Scheme of those that keep their codes.
    """

    file: object
    config: dict
    engine: object
    kinds: dict
    schemes: dict


def import_gguf(path, out, engine, resume=False, overwrite=False):
    """Write a GGUF file as a model directory with tokenizer, read the codes back, and compare them.

    A linear layer of Q4_0, Q5_0 or Q8_0, or of Q4_1 whose minima are whole steps of zero points of 4 bits, becomes
    compressed-tensors with groups of 32 and scales of float16; F32, F16 and BF16 tensors stay as they are; other types
    become F32, exactly the numbers that llama.cpp makes of them. Blocks of zeros get scale 1 and codes 0.

    Parameters
        path: the GGUF file.
        out: the directory to write; it appears when it is whole and compared.
        engine: refq or refq_fast.
        resume, overwrite: as quantize_model takes them.
    Returns
        report: dict "written"; "layers", "codes" and "numbers" (scales and zero points) that were kept and compared;
            "floats", name -> type of tensors that were decoded to F32.
    Raises
        UsageError: `out` exists.
        FileError: a malformed file, or a model or tokenizer that we do not support.
    """
    output.check_paths(path, out, resume or overwrite)
    file, config, shapes = open_model(path)
    tokenizer = json.dumps(tokenizer_json(file.header.metadata, path)).encode()
    source = _planned(file, config, shapes, engine)
    record = run_record("import", {}, {"gguf": digest_of(path)})
    shards = plan_shards({weight_files()[0]: [_unit(name, shape, source) for name, shape in shapes.items()]}, record)
    needed = sum(layout.size for _, layout in shards.values()) + len(tokenizer) + 2**14 + 2**11 * len(shapes)
    say_bounds(memory_bound(config), needed)
    with opened((path, out), record, needed, resume, overwrite) as begun:
        if begun is not None:
            write_shards(begun.room, shards, source, record, begun.done, _pieces, "importing")
            output.write_file(os.path.join(begun.model, "tokenizer.json"), tokenizer)
            if template := file.header.metadata.get(CHAT_TEMPLATE):
                write_pretty(os.path.join(begun.model, "tokenizer_config.json"), {"chat_template": template.value})
            write_pretty(os.path.join(begun.model, "config.json"), _config(config, source.schemes))
        kept = {layer: shapes[f"{layer}.weight"] for layer in source.schemes}
        written = open_checkpoint(out if begun is None else begun.model)
        found = check_layers(written, kept, functools.partial(_grid, source), engine)
    floats = {name: kind for name, kind in source.kinds.items() if _dtype(name, source) == "F32" != kind}
    return {"written": begun is not None, **found, "floats": floats}


def _planned(file, config, shapes, engine):
    kinds = {name: file.header.tensors[gguf_name(name)].kind for name in shapes}
    source = Imported(file, config, engine, kinds, {})
    schemes = {layer: _scheme(source, layer) for layer in _linear(config)}
    return source._replace(schemes={layer: scheme for layer, scheme in schemes.items() if scheme})


def _scheme(source, layer):
    """The scheme of a layer that keeps its codes; None if it does not."""
    kind = source.kinds[f"{layer}.weight"]
    if kind not in PACKED:
        return None
    if kind != "Q4_1":  # which alone has minima
        return Scheme(PACKED[kind], True, "group", 32)
    grid = _grid(source, layer)
    if grid is None or not -8 <= grid.zero_point.min() <= grid.zero_point.max() <= 7:
        return None
    return Scheme(grid.bits, not grid.zero_point.any(), "group", 32)


def _linear(config):
    return [*linear_names(config), *([] if config["tie_word_embeddings"] else ["lm_head"])]


def _unit(name, shape, source):
    """What becomes of a tensor."""
    scheme = source.schemes.get(name.removesuffix(".weight"))
    parts = [(name, _dtype(name, source), shape)]
    if scheme:
        stored = packed_tensors(name.removesuffix(".weight"), shape, scheme)
        parts = [(n, "F16" if n.endswith("_scale") else dtypes[0], size) for n, (dtypes, size) in stored.items()]
    return Unit(name, shape, scheme, parts)


def _dtype(name, source):
    """Of a tensor that has no codes; None for one that has."""
    if name.removesuffix(".weight") in source.schemes:
        return None
    return source.kinds[name] if source.kinds[name] in (*FLOATS, "BF16") else "F32"


def _pieces(unit, source, errors):
    """(tensor name, array) of all that stands for a tensor."""
    file, config, engine = source[:3]
    if unit.scheme:
        grid = _grid(source, unit.layer)
        for name, array in OURS.tensors(unit.layer, unit.scheme, grid, engine):
            yield name, array.astype(np.float16) if name.endswith("_scale") else array
        errors.append(EXACT)
        return
    kind = _dtype(unit.name, source)
    for _, x in read_rows(file, unit.name, config, engine):
        yield unit.name, as_stored(x, kind)


def _config(config, schemes):
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
        raw["quantization_config"] = quantization_config(schemes, [n for n in _linear(config) if n not in schemes])
    return raw


def _grid(source, layer):
    return read_blocks(source.file, f"{layer}.weight", source.config, source.engine)
