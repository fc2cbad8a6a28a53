"""A Hugging Face directory of BERT or ALBERT: one set of names for all that its files may call the same weights."""

import os
import re

from refq.errors import CheckpointError
from refq.files.bert_config import read_bert_config
from refq.files.checkpoint import Checkpoint, check_tensors
from refq.files.codebook import packed_tensors, parse_quantization_config
from refq.files.compressed_tensors import FLOATS
from refq.files.quantization import weights_stem
from refq.files.shards import find_tensors
from refq.files.strict import shown

_IGNORED = ("embeddings.position_ids", "embeddings.token_type_ids")  # 0, 1, 2, ... and 0, 0, 0, ...: not weights
_ALBERT = {
    "full_layer_layer_norm": "output.LayerNorm",
    "attention.LayerNorm": "attention.output.LayerNorm",
    "attention.dense": "attention.output.dense",
    "attention.query": "attention.self.query",
    "attention.key": "attention.self.key",
    "attention.value": "attention.self.value",
    "ffn": "intermediate.dense",
    "ffn_output": "output.dense",
}
_STORED = {ours: theirs for theirs, ours in _ALBERT.items()}
_LAYER = "encoder.albert_layer_groups.0.albert_layers.0."


def open_encoder(directory):
    """Open a directory of BertModel or AlbertModel, or of one with a head on top of it.

    As open_checkpoint; but the names are BertModel's (see SPEC.md, bert_forward), whatever the files say: with "bert."
    or "albert." in front or not, ALBERT's own, gamma and beta for weight and bias. Heads for language modelling are
    ignored, a classifier is not.

    Returns
        Checkpoint; embeddings may be quantized too, with codebooks alone.
    Raises
        CheckpointError: one sentence with file, tensor and rule.
    """
    directory = os.fspath(directory)
    if not os.path.isdir(directory):
        raise CheckpointError(f"{directory}: it is not a directory; a model directory with config.json is needed")
    config = read_bert_config(os.path.join(directory, "config.json"))
    stored, metadata, identities = find_tensors(directory, weights_stem(config["quantization"]))
    found, ignored = {}, []
    for stored_name, entry in stored.items():
        name = canonical_name(stored_name, config["model_type"])
        if name in _IGNORED or name.startswith(config["ignored_heads"]):
            ignored.append(stored_name)
        elif name in found:
            other = found[name][1].name
            raise CheckpointError(f"{entry[0]}: tensors {shown(other)} and {shown(stored_name)} are both {name}")
        else:
            found[name] = entry
    shapes = bert_tensors(config, pooler="pooler.dense.bias" in found)
    schemes, expected = {}, {}
    if config["quantization"] is not None:
        layers = {name.removesuffix(".weight"): shape for name, shape in shapes.items() if len(shape) == 2}
        schemes = parse_quantization_config(config["quantization"], layers, os.path.join(directory, "config.json"))
    for name, shape in shapes.items():
        scheme = schemes.get(name.removesuffix(".weight"))
        layer = packed_tensors(name.removesuffix(".weight"), shape, scheme) if scheme else {name: (FLOATS, shape)}
        expected |= layer
    check_tensors(found, expected, directory)
    tensors = {name: found[name] for name in expected}
    return Checkpoint(directory, config, tensors, list(metadata), ignored, schemes, metadata, identities)


def canonical_name(name, model_type):
    """BertModel's name of a tensor that a file calls `name`.

    >>> canonical_name("albert.encoder.albert_layer_groups.0.albert_layers.0.ffn.weight", "albert")
    'encoder.layer.0.intermediate.dense.weight'
    """
    name = name.removeprefix(f"{model_type}.")
    name = re.sub(r"LayerNorm\.(gamma|beta)$", lambda m: f"LayerNorm.{'weight' if m[1] == 'gamma' else 'bias'}", name)
    if model_type == "albert":
        place, _, kind = name.removeprefix(_LAYER).rpartition(".")
        if name.startswith(_LAYER) and place in _ALBERT:
            return f"encoder.layer.0.{_ALBERT[place]}.{kind}"
        if name.startswith("pooler."):
            return f"pooler.dense.{kind}"
    return name


def stored_name(name, config):
    """transformers' name of a tensor that BertModel calls `name`: canonical_name, back.

    >>> stored_name("encoder.layer.0.intermediate.dense.weight", {"model_type": "albert", "num_labels": None})
    'encoder.albert_layer_groups.0.albert_layers.0.ffn.weight'
    """
    if name.startswith("classifier."):
        return name
    place, _, kind = name.removeprefix("encoder.layer.0.").rpartition(".")
    if config["model_type"] == "albert" and place in _STORED:
        name = f"{_LAYER}{_STORED[place]}.{kind}"
    elif config["model_type"] == "albert" and name.startswith("pooler."):
        name = f"pooler.{kind}"
    return name if config["num_labels"] is None else f"{config['model_type']}.{name}"


def bert_tensors(config, pooler=True):
    """Names and shapes of all tensors, by their names in BertModel, in the order of the layers.

    Parameters
        config: see read_bert_config.
        pooler: whether the model has one.
    Returns
        dict, name -> shape.
    """
    D, E, F = config["hidden_size"], config["embedding_size"], config["intermediate_size"]
    rows = {"word": "vocab_size", "position": "max_position_embeddings", "token_type": "type_vocab_size"}
    tensors = {f"embeddings.{name}_embeddings.weight": (config[key], E) for name, key in rows.items()}

    def add(name, *shape):
        tensors[f"{name}.weight"] = shape
        tensors[f"{name}.bias"] = shape[:1]

    add("embeddings.LayerNorm", E)
    if config["shared_layers"]:
        add("encoder.embedding_hidden_mapping_in", D, E)
    for layer in range(1 if config["shared_layers"] else config["num_hidden_layers"]):
        name = f"encoder.layer.{layer}"
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            add(f"{name}.attention.{part}", D, D)
        add(f"{name}.attention.output.LayerNorm", D)
        add(f"{name}.intermediate.dense", F, D)
        add(f"{name}.output.dense", D, F)
        add(f"{name}.output.LayerNorm", D)
    if pooler:
        add("pooler.dense", D, D)
    if config["num_labels"] is not None:
        add("classifier", config["num_labels"], D)
    return tensors
