"""A checkpoint with the shapes of TinyLlama-1.1B and random weights: sharded, BF16, written as a stream.

python -m benchmarks.synthetic_checkpoint FOLDER [--layers 22] [--shard-bytes 500000000] [--tokenizer tokenizer.json]
"""

import argparse
import json
import math
import pathlib
import shutil

import numpy as np

from benchmarks.byte_tokenizer import byte_tokenizer
from refq.files.checkpoint import llama_tensors
from refq.files.config import read_config
from refq.files.safetensors import header_bytes
from refq.jobs.plan import row_chunks

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_act": "silu",
    "vocab_size": 32000,
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "torch_dtype": "bfloat16",
}


def write_checkpoint(directory, layers=22, shard_bytes=500_000_000, seed=0, **sizes):
    """Write config.json, the shards and their index; memory stays that of one chunk of rows.

    Parameters
        directory: made if it is missing.
        layers: 22 is TinyLlama.
        shard_bytes: a shard is closed when the next tensor would make it larger.
        seed: of the weights, normal with deviation 1 / sqrt(inputs); norms are 1.
        sizes: keys of CONFIG with other values.
    """
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(CONFIG | sizes | {"num_hidden_layers": layers}, indent=2))
    (directory / "tokenizer.json").write_text(json.dumps(byte_tokenizer()))
    shards = [{}]
    for name, shape in llama_tensors(read_config(directory / "config.json")).items():
        if shards[-1] and 2 * sum(map(math.prod, (*shards[-1].values(), shape))) > shard_bytes:
            shards.append({})
        shards[-1][name] = shape
    random, places = np.random.default_rng(seed), {}
    for number, tensors in enumerate(shards, 1):
        file = f"model-{number:05}-of-{len(shards):05}.safetensors"
        places |= dict.fromkeys(tensors, file)
        with open(directory / file, "wb") as stream:
            stream.write(header_bytes([(name, "BF16", shape) for name, shape in tensors.items()], {"format": "pt"}))
            for shape in tensors.values():
                for start, stop in row_chunks(shape):
                    stream.write(_bfloat16(random, (stop - start, *shape[1:])))
    total = 2 * sum(math.prod(shape) for tensors in shards for shape in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": places}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))


def _bfloat16(random, shape):
    if len(shape) == 1:
        rows = np.ones(shape, np.float32)
    else:
        rows = random.standard_normal(shape, np.float32) * np.float32(1 / math.sqrt(shape[1]))
    return (rows.view(np.uint32) >> 16).astype("<u2").tobytes()  # cut, not rounded: random either way


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--layers", type=int, default=22)
    parser.add_argument("--shard-bytes", type=int, default=500_000_000)
    parser.add_argument("--tokenizer", type=pathlib.Path, help="a tokenizer.json, instead of one a byte")
    options = parser.parse_args()
    write_checkpoint(options.folder, options.layers, options.shard_bytes)
    if options.tokenizer:
        shutil.copy(options.tokenizer, options.folder / "tokenizer.json")


if __name__ == "__main__":
    main()
