"""config.json of a LLaMA, Mistral or Qwen2 model to plain numbers; what we do not support is refused by its name."""

import json
import math

from refq.errors import CheckpointError
from refq.files.rotary import read_rotary
from refq.files.strict import read_json, shown

CEILING = 2**20  # bytes of a config.json
SIZE = 2**24  # the largest width or vocabulary
LAYERS = 4096
ARCHITECTURES = {"llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM", "qwen2": "Qwen2ForCausalLM"}
_COMMON = {"head_dim": None, "rms_norm_eps": 1e-6}
_COMMON |= {"tie_word_embeddings": False, "attention_bias": False, "mlp_bias": False}
_LLAMA = {"num_key_value_heads": None, "max_position_embeddings": 2048, "bos_token_id": 1, "eos_token_id": 2}
_MISTRAL = {"num_key_value_heads": 8, "max_position_embeddings": 131072, "sliding_window": 4096}
_QWEN2 = {"num_key_value_heads": 32, "max_position_embeddings": 32768, "attention_bias": True}
# what transformers takes where a key is missing
_DEFAULTS = {"llama": _COMMON | _LLAMA, "mistral": _COMMON | _LLAMA | _MISTRAL, "qwen2": _COMMON | _QWEN2}
# settings with one value that we support; a missing key or null is that value
_FIXED = {"hidden_act": "silu", "partial_rotary_factor": 1.0, "compression_config": None}
_FIXED_IN = {
    "llama": {},
    "mistral": {"attention_bias": False, "mlp_bias": False},
    "qwen2": {"attention_bias": True, "mlp_bias": False, "use_sliding_window": False},
}


def read_config(path):
    """Read a Hugging Face config.json into a plain dict.

    Parameters
        path: the config.json.
    Returns
        config: dict with model_type, vocab_size, hidden_size, intermediate_size, num_hidden_layers,
            num_attention_heads, num_key_value_heads, head_dim, max_position_embeddings, rms_norm_eps, rope_theta,
            rope_scaling (None, or the llama3 numbers), tie_word_embeddings, attention_bias (q, k and v),
            attention_output_bias (o), mlp_bias, bos_token_id (or None), eos_token_ids (a list),
            quantization (the raw quantization_config, or None).
    Raises
        CheckpointError: a value of the wrong type or size, a contradiction, or a setting that is not supported.
    """
    return parse_config(read_json(path, CEILING, CheckpointError), path)


def parse_config(raw, path):
    """The dict of read_config, of the object in a config.json; `path` is how messages call it."""
    family = _family(raw, path)
    raw = _DEFAULTS[family] | raw
    _refuse_unsupported(raw, family, path)
    config = {"model_type": family, **_sizes(raw, path)}
    config["rms_norm_eps"] = read_number(raw, "rms_norm_eps", path, 1.0)
    config["rope_theta"], config["rope_scaling"] = read_rotary(raw, config["max_position_embeddings"], path)
    for key in ("tie_word_embeddings", "attention_bias", "mlp_bias"):
        config[key] = _flag(raw, key, path)
    config["attention_output_bias"] = family == "llama" and config["attention_bias"]
    bos = token_ids(raw, "bos_token_id", config["vocab_size"], path)
    if len(bos) > 1:
        raise CheckpointError(f"{path}: bos_token_id is {shown(bos)}; one token is needed")
    config["bos_token_id"] = bos[0] if bos else None
    config["eos_token_ids"] = token_ids(raw, "eos_token_id", config["vocab_size"], path)
    config["quantization"] = _quantization(raw, path)
    return config


def _quantization(raw, path):
    """The quantization_config; or that of MLX, whose files have one without a method, under one key or both."""
    found, other = (raw.get(key) for key in ("quantization_config", "quantization"))
    for key, value in (("quantization_config", found), ("quantization", other)):
        if not isinstance(value, dict | None):
            raise CheckpointError(f"{path}: {key} is {shown(value)}; an object is needed")
    if other is None:
        return found
    if found not in (None, other) or "quant_method" in other:
        raise CheckpointError(f"{path}: quantization is not quantization_config too; MLX writes the same under both")
    return {"quant_method": "mlx", **other}


def token_ids(raw, key, vocab_size, path):
    """The token ids under a key that holds one, a list of them, null or nothing: always a list."""
    ids = raw.get(key)
    ids = ids if isinstance(ids, list) else [ids] if ids is not None else []
    for token in ids:
        if type(token) is not int or not 0 <= token < vocab_size:
            raise CheckpointError(f"{path}: {key} holds {shown(token)}; an integer of 0..{vocab_size - 1} is needed")
    return ids


def _family(raw, path):
    architectures = raw.get("architectures")
    if architectures is None and isinstance(raw.get("model_type"), str):
        architectures = [ARCHITECTURES.get(raw["model_type"], f"model_type {raw['model_type']}")]
    families = [family for family, name in ARCHITECTURES.items() if architectures == [name]]
    if not families:
        names = ", ".join(ARCHITECTURES.values())
        raise CheckpointError(f"{path}: architectures is {shown(architectures)}; one of {names} is supported")
    family = families[0]
    if raw.get("model_type", family) != family:
        model_type = shown(raw["model_type"])
        raise CheckpointError(f"{path}: model_type {model_type} contradicts architectures {architectures}")
    return family


def _refuse_unsupported(raw, family, path):
    for key, supported in (_FIXED | _FIXED_IN[family]).items():
        value = raw.get(key)
        if value is not None and (value != supported or isinstance(value, bool) != isinstance(supported, bool)):
            raise CheckpointError(f"{path}: {key} is {shown(value)}; only {json.dumps(supported)} is supported")
    layers = raw.get("layer_types") or []
    if not isinstance(layers, list) or any(kind != "full_attention" for kind in layers):
        raise CheckpointError(f"{path}: layer_types is {shown(layers)}; only 'full_attention' is supported")
    if family == "mistral" and raw["sliding_window"] is not None:
        window, positions = read_integer(raw, "sliding_window", path, 2**30), raw["max_position_embeddings"]
        if type(positions) is int and window < positions:
            raise CheckpointError(
                f"{path}: sliding_window is {window}; "
                f"only null or at least max_position_embeddings={positions} is supported"
            )


def _sizes(raw, path):
    limits = {"vocab_size": SIZE, "hidden_size": SIZE, "intermediate_size": SIZE, "num_hidden_layers": LAYERS}
    limits |= {"num_attention_heads": SIZE, "max_position_embeddings": 2**30}
    sizes = {key: read_integer(raw, key, path, limit) for key, limit in limits.items()}
    hidden, heads = sizes["hidden_size"], sizes["num_attention_heads"]
    if hidden % heads:
        raise CheckpointError(f"{path}: num_attention_heads={heads} does not divide hidden_size={hidden}")
    filled = {"num_key_value_heads": heads, "head_dim": hidden // heads}
    filled |= {key: raw[key] for key in filled if raw[key] is not None}
    sizes |= {key: read_integer(filled, key, path, SIZE) for key in filled}
    if heads % sizes["num_key_value_heads"]:
        raise CheckpointError(
            f"{path}: num_key_value_heads={sizes['num_key_value_heads']} does not divide num_attention_heads={heads}"
        )
    if sizes["head_dim"] % 2 or sizes["head_dim"] * heads > SIZE:
        raise CheckpointError(
            f"{path}: head_dim is {sizes['head_dim']}; an even number, at most {SIZE} with all {heads} heads, is needed"
        )
    return sizes


def read_integer(raw, key, path, largest):
    """The integer of 1..largest under a key."""
    if key not in raw:
        raise CheckpointError(f"{path}: {key} is missing")
    value = raw[key]
    if type(value) is not int or not 1 <= value <= largest:
        raise CheckpointError(f"{path}: {key} is {shown(value)}; an integer of 1..{largest} is needed")
    return value


def read_number(raw, key, path, below):
    """The number between 0 and `below` under a key, as a float."""
    value = raw[key]
    if type(value) not in (int, float) or not 0 < value < below or not math.isfinite(value):
        raise CheckpointError(f"{path}: {key} is {shown(value)}; a number between 0 and {below} is needed")
    return float(value)


def _flag(raw, key, path):
    if type(raw[key]) is not bool:
        raise CheckpointError(f"{path}: {key} is {shown(raw[key])}; true or false is needed")
    return raw[key]
