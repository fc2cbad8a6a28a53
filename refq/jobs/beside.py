"""The files of a model directory beside its weights: tokenizer, index, config.json."""

import json
import os

from refq.errors import CheckpointError
from refq.files.checkpoint import linear_names
from refq.files.quantization import quantization_config, weights_stem
from refq.files.reassembled import Attention
from refq.files.shards import weight_files
from refq.files.strict import parse_json
from refq.jobs import output
from refq.jobs.inputs import carried, read_small


def bytes_needed(checkpoint, shards):
    """Bytes of the output at most: its weights, the files beside them, and 2 kB a tensor for journal and index."""
    directory, weights = checkpoint.directory, sum(layout.size for _, layout in shards.values())
    beside = sum(os.path.getsize(os.path.join(directory, name)) for name in (*carried(directory), "config.json"))
    return weights + beside + 2**14 + 2**11 * len(checkpoint.tensors)


def write_small_files(checkpoint, schemes, shards, model, digests, attention=Attention()):  # noqa: B008 (immutable)
    """All that a model directory has beside its weights, into the directory `model`."""
    kept = ["lm_head", *(name for name in linear_names(checkpoint.config) if name not in schemes)]
    quantization = quantization_config(schemes, kept, attention)
    raw = write_beside(checkpoint, weights_stem(quantization), shards, model, digests)
    raw |= {"dtype": "float32", "quantization_config": quantization}
    if raw.get("tie_word_embeddings") and not checkpoint.config["tie_word_embeddings"]:
        raw["tie_word_embeddings"] = False  # a rotated model has a head of its own
    write_pretty(os.path.join(model, "config.json"), raw)  # last: without it nothing loads


def write_beside(checkpoint, stem, shards, model, digests):
    """The files that a model has whatever its weights are, and the index of these, into the directory `model`.

    Returns
        config: of config.json, still to be written: a dict without what is said of the weights.
    """
    for name in carried(checkpoint.directory):
        output.write_file(os.path.join(model, name), read_small(checkpoint.directory, name, digests[name]))
    single, index_name = weight_files(stem)
    if list(shards) != [single]:
        places = {part[0]: file for file, (units, _) in shards.items() for unit in units for part in unit.parts}
        total = sum(layout.size - layout.header for _, layout in shards.values())
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))}
        write_pretty(os.path.join(model, index_name), index)
    path = os.path.join(checkpoint.directory, "config.json")
    raw = parse_json(read_small(checkpoint.directory, "config.json", digests["config.json"]), path, CheckpointError)
    return {key: value for key, value in raw.items() if key != "torch_dtype"}


def write_pretty(path, value):
    """JSON for people, too."""
    output.write_file(path, (json.dumps(value, indent=2) + "\n").encode())
