"""config.json of a BERT or ALBERT model to plain numbers; what we do not support is refused by its name."""

import json

from refq.errors import CheckpointError
from refq.files.config import CEILING, LAYERS, SIZE, read_integer, read_number
from refq.files.strict import read_json, shown

FAMILIES = {"bert": "Bert", "albert": "Albert"}
HEADS = {"Model": (), "ForSequenceClassification": ()}  # and the tensors that each adds and we ignore
HEADS |= {"ForMaskedLM": ("cls.", "predictions."), "ForPreTraining": ("cls.", "predictions.", "sop_classifier.")}
ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh"}
_SIZES = {"max_position_embeddings": 512, "type_vocab_size": 2, "layer_norm_eps": 1e-12}
# what transformers takes where a key is missing
_DEFAULTS = {
    "bert": _SIZES | {"hidden_act": "gelu"},
    "albert": _SIZES | {"hidden_act": "gelu_new", "embedding_size": 128},
}
# settings with one value that we support; a missing key or null is that value
_FIXED = {"position_embedding_type": "absolute", "is_decoder": False, "add_cross_attention": False}
_FIXED |= {"compression_config": None, "quantization": None}
_FIXED_IN = {"bert": {}, "albert": {"num_hidden_groups": 1, "inner_group_num": 1}}


def read_bert_config(path):
    """Read a Hugging Face config.json into a plain dict.

    Parameters
        path: the config.json.
    Returns
        config: dict with model_type, vocab_size, hidden_size, embedding_size, intermediate_size, num_hidden_layers,
            num_attention_heads, max_position_embeddings, type_vocab_size, layer_norm_eps, hidden_act ("gelu" or
            "gelu_tanh"), shared_layers, num_labels (None without a classifier), quantization (the raw
            quantization_config, or None), and ignored_heads, what names of tensors begin with that are none of ours.
    Raises
        CheckpointError: a value of the wrong type or size, a contradiction, or a setting that is not supported.
    """
    raw = read_json(path, CEILING, CheckpointError)
    family, head = _family(raw, path)
    raw = _DEFAULTS[family] | raw
    _refuse_unsupported(raw, family, path)
    limits = {"vocab_size": SIZE, "hidden_size": SIZE, "intermediate_size": SIZE, "num_hidden_layers": LAYERS}
    limits |= {"num_attention_heads": SIZE, "max_position_embeddings": SIZE, "type_vocab_size": SIZE}
    config = {"model_type": family} | {key: read_integer(raw, key, path, limit) for key, limit in limits.items()}
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    if hidden % heads:
        raise CheckpointError(f"{path}: num_attention_heads={heads} does not divide hidden_size={hidden}")
    albert = family == "albert"
    config["embedding_size"] = read_integer(raw, "embedding_size", path, SIZE) if albert else hidden
    config["layer_norm_eps"] = read_number(raw, "layer_norm_eps", path, 1.0)
    config["hidden_act"], config["shared_layers"] = ACTIVATIONS[raw["hidden_act"]], albert
    config["num_labels"] = _labels(raw, path) if head == "ForSequenceClassification" else None
    config["quantization"] = raw.get("quantization_config")
    if not isinstance(config["quantization"], dict | None):
        raise CheckpointError(f"{path}: quantization_config is {shown(config['quantization'])}; an object is needed")
    return config | {"ignored_heads": HEADS[head]}


def is_encoder(path):
    """Whether a config.json is one of these models, by its model_type or its architectures."""
    raw = read_json(path, CEILING, CheckpointError)
    named = raw.get("architectures") if isinstance(raw.get("architectures"), list) else []
    return raw.get("model_type") in FAMILIES or any(name in _names() for name in named if isinstance(name, str))


def _names():
    return {f"{start}{head}": (family, head) for family, start in FAMILIES.items() for head in HEADS}


def _family(raw, path):
    architectures, names = raw.get("architectures"), _names()
    if architectures is None and raw.get("model_type") in FAMILIES:
        return raw["model_type"], "Model"
    if not isinstance(architectures, list) or len(architectures) != 1 or architectures[0] not in names:
        raise CheckpointError(
            f"{path}: architectures is {shown(architectures)}; one of {', '.join(names)} is supported"
        )
    family, head = names[architectures[0]]
    if raw.get("model_type", family) != family:
        model_type = shown(raw["model_type"])
        raise CheckpointError(f"{path}: model_type {model_type} contradicts architectures {architectures}")
    return family, head


def _refuse_unsupported(raw, family, path):
    for key, supported in (_FIXED | _FIXED_IN[family]).items():
        value = raw.get(key)
        if value is not None and (value != supported or isinstance(value, bool) != isinstance(supported, bool)):
            raise CheckpointError(f"{path}: {key} is {shown(value)}; only {json.dumps(supported)} is supported")
    if not isinstance(raw["hidden_act"], str) or raw["hidden_act"] not in ACTIVATIONS:
        supported = ", ".join(ACTIVATIONS)
        raise CheckpointError(f"{path}: hidden_act is {shown(raw['hidden_act'])}; one of {supported} is supported")


def _labels(raw, path):
    """As transformers counts them: the names of labels, else num_labels, else 2."""
    if raw.get("id2label") is None:
        return read_integer({"num_labels": 2} | raw, "num_labels", path, SIZE)
    if not isinstance(raw["id2label"], dict) or not raw["id2label"]:
        raise CheckpointError(f"{path}: id2label is {shown(raw['id2label'])}; an object of names is needed")
    return len(raw["id2label"])
