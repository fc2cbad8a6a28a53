"""A small GGUF model for the tests: its parts, to be changed before they are written; and the model of the package."""

import pathlib

import numpy as np

import refq.world
from refq.files.checkpoint import llama_tensors
from refq.files.gguf import gguf_header_bytes
from refq.files.gguf_metadata import model_metadata, token_metadata
from refq.files.gguf_model import gguf_name
from refq.files.gguf_types import TENSOR_TYPES, byte_count
from refq.files.gguf_vocabulary import tokenizer_metadata
from tests.laws.blocks import HALVES

WORLD = pathlib.Path(refq.world.__file__).parent / "model"
PIECES = ["\u2581", "a", "b", "ab", "\u2581a", "\u2581ab", "c", "abc"]
MERGES = [("a", "b"), ("\u2581", "a"), ("\u2581", "ab"), ("\u2581a", "b"), ("ab", "c")]
CONFIG = {"model_type": "llama", "vocab_size": 267, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
CONFIG |= {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 64}
CONFIG |= {"rms_norm_eps": 1e-5, "rope_theta": 10000.0, "rope_scaling": None, "tie_word_embeddings": True}
CONFIG |= {"attention_bias": False, "attention_output_bias": False, "mlp_bias": False}


def spm():
    """tokenizer.json of a Llama vocabulary of 267 pieces."""
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256)), *PIECES]
    plain = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    special = [{"id": i, "content": token, "special": True} | plain for i, token in enumerate(tokens[:3])]
    steps = [{"type": "Prepend", "prepend": PIECES[0]}]
    steps.append({"type": "Replace", "pattern": {"String": " "}, "content": PIECES[0]})
    model = {"type": "BPE", "unk_token": "<unk>", "byte_fallback": True, "fuse_unk": True}
    model |= {"vocab": {token: i for i, token in enumerate(tokens)}, "merges": MERGES}
    template = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}]}
    template["single"] += [{"Sequence": {"id": "A", "type_id": 0}}]
    template |= {"pair": [{"Sequence": {"id": name, "type_id": 0}} for name in "AB"]}
    template |= {"special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}}
    normalizer = {"type": "Sequence", "normalizers": steps}
    return {"added_tokens": special, "normalizer": normalizer, "model": model, "post_processor": template}


def parts(kind="F32", config=CONFIG, tokenizer=None):
    """(metadata, [(name, type, shape)], [bytes]) of a model whose linear layers are of one type."""
    vocabulary = tokenizer_metadata(tokenizer or spm(), config["vocab_size"])
    metadata = model_metadata(config, kind) | vocabulary | token_metadata(1, [2], vocabulary)
    random, entries, data = np.random.default_rng(0), [], []
    for name, shape in llama_tensors(config).items():
        form = kind if name.endswith("_proj.weight") else "F32"
        entries.append((gguf_name(name), form, shape))
        data.append(numbers(random, form, shape))
    return metadata, entries, data


def numbers(random, kind, shape):
    """Random finite numbers of a type."""
    if TENSOR_TYPES[kind].block == 1:
        x = random.standard_normal(shape).astype(np.float32)
        return {"F32": x, "F16": x.astype(np.float16)}.get(kind, (x.view(np.uint32) >> 16).astype(np.uint16)).tobytes()
    raw = random.integers(0, 256, byte_count(kind, shape), np.uint8).reshape(-1, TENSOR_TYPES[kind].size)
    for offset in HALVES[kind.lower()]:
        raw[:, offset + 1] &= 0xBB
    if kind == "MXFP4":
        raw[:, 0] &= 127
    return raw.tobytes()


def write(path, metadata, entries, data, alignment=32):
    """A file of these parts, whatever they are."""
    raw, spans = gguf_header_bytes(metadata, entries, alignment)
    for (start, _), block in zip(spans, data, strict=True):
        raw = raw.ljust(start, b"\0") + block
    path.write_bytes(raw.ljust(-(-len(raw) // alignment) * alignment, b"\0"))
    return path
