"""A tiny LLaMA of random weights and its byte tokenizer, made of a seed: what the verbs are tried on."""

import json
import math
import os
import pathlib

import numpy as np

from benchmarks.byte_tokenizer import BYTES, SPECIAL, byte_tokenizer
from refq.files.checkpoint import llama_tensors
from refq.files.config import read_config
from refq.files.safetensors import header_bytes

TEXT = pathlib.Path(__file__).with_name("tiny.txt")
CONTEXT = 128
SEED = 2
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


def write_model(directory):
    """Write the model as a Hugging Face directory: PCG64's raw numbers and exact sums, so the same bytes everywhere."""
    os.makedirs(directory)
    files = {"config.json": CONFIG, "tokenizer.json": byte_tokenizer()}
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
        file.write(header_bytes([(name, "F32", shape) for name, shape in shapes.items()], {"format": "pt"}))
        random = np.random.PCG64(SEED)
        for name, shape in shapes.items():
            file.write(_weights(name, shape, random).astype("<f4").tobytes())


def _weights(name, shape, random):
    if len(shape) == 1:
        return np.ones(shape)  # norms
    # the sum of four uniform numbers is nearly normal, and exact; its variance is 1/3
    raw = random.random_raw(4 * shape[0] * shape[1]).reshape(4, *shape) >> 40
    size = 1.0 if name == "model.embed_tokens.weight" else 1 / math.sqrt(shape[1])
    return (raw.sum(axis=0) * 2.0**-24 - 2) * math.sqrt(3) * size
