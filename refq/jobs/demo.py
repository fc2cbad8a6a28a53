"""The main job with nothing given: a tiny LLaMA and its tokenizer, made of a seed, so that nothing is downloaded."""

import json
import math
import os
import pathlib
import shutil

import numpy as np

from refq import __version__
from refq.errors import UsageError
from refq.files.checkpoint import llama_tensors
from refq.files.config import read_config
from refq.files.safetensors import header_bytes
from refq.jobs.journal import canonical
from refq.jobs.perplexity import perplexity
from refq.jobs.plan import Options
from refq.jobs.quantize import quantize_model

LABEL = "seeded random weights, never trained: its figures show that the pipeline works, not how good a quantizer is"
README = f"# refq demo\n\nA tiny LLaMA, {LABEL}.\n"
TEXT = pathlib.Path(__file__).with_name("demo.txt")
BITS = (8, 4, 2)
CONTEXT = 128
SEED = 2
BYTES = 256  # the vocabulary: one token a byte, then the two below
SPECIAL = {"<s>": BYTES, "</s>": BYTES + 1}
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": BYTES + len(SPECIAL),
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 2 * CONTEXT,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "bos_token_id": SPECIAL["<s>"],
    "eos_token_id": SPECIAL["</s>"],
    "dtype": "float32",
}


def run_demo(out, engine):
    """Make the model, quantize it at 8, 4 and 2 bits in groups of 32, and score all four on a text of ours.

    Parameters
        out: a directory that does not exist yet, or of an earlier demo, which is replaced; it will hold `original`,
            `w8`, `w4` and `w2`.
        engine: refq or refq_fast.
    Returns
        list of dict: name, bytes (of model.safetensors), and what `perplexity` reports with the original beside.
    Raises
        UsageError: out exists, and not all in it is of a demo.
    """
    if os.path.lexists(out):
        if not _is_ours(out):
            raise UsageError(f"{out} exists, and not all in it is of a demo; name another directory with --out")
        shutil.rmtree(out)
    try:
        write_model(os.path.join(out, "original"))
        with open(os.path.join(out, "README.md"), "w", encoding="utf-8") as file:
            file.write(README)
        return _compare(out, engine)
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        raise


def write_model(directory):
    """Write the model as a Hugging Face directory: PCG64's raw numbers and exact sums, so the same bytes everywhere."""
    os.makedirs(directory)
    files = {"config.json": CONFIG | {"refq_demo": LABEL}, "tokenizer.json": byte_tokenizer()}
    files["tokenizer_config.json"] = {
        "bos_token": "<s>",
        "eos_token": "</s>",
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    files["generation_config.json"] = {f"{kind}_token_id": CONFIG[f"{kind}_token_id"] for kind in ("bos", "eos")}
    for name, content in files.items():
        with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
    shapes = llama_tensors(read_config(os.path.join(directory, "config.json")))
    with open(os.path.join(directory, "model.safetensors"), "wb") as file:
        run = {"command": "demo", "version": __version__, "seed": SEED}
        metadata = {"format": "pt", "refq_demo": LABEL, "refq": canonical({"run": run, "figures": {}})}
        file.write(header_bytes([(name, "F32", shape) for name, shape in shapes.items()], metadata))
        random = np.random.PCG64(SEED)
        for name, shape in shapes.items():
            file.write(_weights(name, shape, random).astype("<f4").tobytes())


def byte_tokenizer():
    """A tokenizer.json: token b is byte b, written as the character that ByteLevel gives it; then <s> and </s>."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(BYTES) if b not in printable]
    characters = {b: chr(b) for b in printable} | {b: chr(256 + n) for n, b in enumerate(others)}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    start = {"SpecialToken": {"id": "<s>", "type_id": 0}}
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False) | {"special": True}
    model = {"type": "BPE", "vocab": {characters[b]: b for b in range(BYTES)}, "merges": []}
    return {
        "version": "1.0",
        "added_tokens": [{"id": token, "content": text} | flags for text, token in SPECIAL.items()],
        "pre_tokenizer": level,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [start, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [start, {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [SPECIAL["<s>"]], "tokens": ["<s>"]}},
        },
        "decoder": level,
        "model": model,
    }


def _is_ours(out):
    """Whether a demo made `out`, and nothing was added: its README, the label in config.json, and known names alone."""
    if os.path.islink(out) or not os.path.isdir(out):
        return False
    try:
        with open(os.path.join(out, "README.md"), encoding="utf-8") as file:
            readme = file.read()
        with open(os.path.join(out, "original", "config.json"), encoding="utf-8") as file:
            label = json.load(file)["refq_demo"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    known = {"README.md", "original", *(f"w{bits}" for bits in BITS)}
    return (readme, label) == (README, LABEL) and known.issuperset(os.listdir(out))


def _compare(out, engine):
    paths = {"original": os.path.join(out, "original")}
    for bits in BITS:
        paths[f"w{bits}"] = os.path.join(out, f"w{bits}")
        quantize_model(paths["original"], paths[f"w{bits}"], engine, Options(bits=bits, group_size=32))
    return [
        {"name": name, "bytes": os.path.getsize(os.path.join(path, "model.safetensors"))}
        | perplexity(path, TEXT, engine, CONTEXT, original=paths["original"])
        for name, path in paths.items()
    ]


def _weights(name, shape, random):
    if len(shape) == 1:
        return np.ones(shape)  # norms
    # the sum of four uniform numbers is nearly normal, and exact; its variance is 1/3
    raw = random.random_raw(4 * shape[0] * shape[1]).reshape(4, *shape) >> 40
    size = 1.0 if name == "model.embed_tokens.weight" else 1 / math.sqrt(shape[1])
    return (raw.sum(axis=0) * 2.0**-24 - 2) * math.sqrt(3) * size
