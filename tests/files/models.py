"""Small model directories for the tests of refq.files, and the library that reads them beside us."""

import json
import math

import numpy as np
import safetensors
import safetensors.numpy

from refq.files.checkpoint import linear_names, llama_tensors
from refq.files.compressed_tensors import packed_tensors, parse_quantization_config
from refq.files.config import read_config
from refq.files.header import DTYPES
from refq.files.safetensors import header_bytes

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 24,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
}
TOKENIZER = {"version": "1.0", "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}}


def raw_file(path, header, data=b""):
    """A file of the length word, a header as text, bytes or JSON value, and data."""
    if not isinstance(header, bytes):
        header = (header if isinstance(header, str) else json.dumps(header)).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)
    return path


def save(path, tensors, metadata=None):
    """Write arrays with our own header, in the order given."""
    names = {dtype: name for name, dtype in DTYPES.items()}
    entries = [(name, names[array.dtype], array.shape) for name, array in tensors.items()]
    data = b"".join(array.tobytes() for array in tensors.values())
    path.write_bytes(header_bytes(entries, metadata or {}) + data)
    return path


def write_config(directory, **changes):
    """config.json: CONFIG with changes (a value of ... takes the key away); and a tokenizer of one word."""
    directory.mkdir(exist_ok=True)
    (directory / "tokenizer.json").write_text(json.dumps(TOKENIZER))
    raw = {key: value for key, value in (CONFIG | changes).items() if value is not ...}
    (directory / "config.json").write_text(json.dumps(raw))
    return directory / "config.json"


def arrays(directory, dtype=np.float32):
    """Random weights for the config.json of a directory; of a quantized one, random words."""
    config, random = read_config(directory / "config.json"), np.random.default_rng(0)
    heads = [] if config["tie_word_embeddings"] else ["lm_head"]
    tensors = {name: random.standard_normal(shape).astype(dtype) for name, shape in llama_tensors(config).items()}
    raw = config["quantization"]
    for name, scheme in (parse_quantization_config(raw, [*linear_names(config), *heads]) if raw else {}).items():
        weight = tensors.pop(f"{name}.weight")
        for tensor, (dtypes, shape) in packed_tensors(name, weight.shape, scheme).items():
            size = math.prod(shape) * DTYPES[dtypes[0]].itemsize
            tensors[tensor] = np.frombuffer(random.bytes(size), DTYPES[dtypes[0]]).reshape(shape)
        tensors[f"{name}.weight_shape"] = np.array(weight.shape, np.int64)
    return tensors


def model(directory, dtype=np.float32, **changes):
    """A whole model directory in one file."""
    write_config(directory, **changes)
    save(directory / "model.safetensors", arrays(directory, dtype))
    return directory


def sharded(directory, shards=3, **changes):
    """A whole model directory in several files with an index; returns the tensors of each."""
    write_config(directory, **changes)
    tensors, parts, weight_map = arrays(directory), [{} for _ in range(shards)], {}
    for number, (name, array) in enumerate(tensors.items()):
        parts[number % shards][name] = array
    for number, part in enumerate(parts, 1):
        file = f"model-{number:05}-of-{shards:05}.safetensors"
        save(directory / file, part)
        weight_map |= dict.fromkeys(part, file)
    write_index(directory, weight_map)
    return weight_map


def write_index(directory, weight_map, **more):
    """The index of a sharded model, or a text instead of it."""
    text = json.dumps({"metadata": {}, "weight_map": weight_map} | more) if isinstance(weight_map, dict) else weight_map
    (directory / "model.safetensors.index.json").write_text(text)


def library_accepts(path):
    """Whether the safetensors library opens a file."""
    try:
        with safetensors.safe_open(path, "numpy") as file:
            file.keys()
    except Exception:
        return False
    return True
