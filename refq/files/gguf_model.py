"""What a GGUF file of a LLaMA says of the model: config, and where each tensor of the Hugging Face names lies.

llama.cpp turns neighbouring numbers of a head, Hugging Face numbers half a head apart. So the rows of q and k stand in
another order: of a head of D rows, row 2 j + t there is row t D / 2 + j here.
"""

import numpy as np

from refq.errors import CheckpointError, FormatError
from refq.files.config import LAYERS, SIZE
from refq.files.gguf_types import SCALARS
from refq.files.strict import shown

_TOP = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
_LAYER = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
_LAYER |= {f"self_attn.{x}_proj": f"attn_{y}" for x, y in (("q", "q"), ("k", "k"), ("v", "v"), ("o", "output"))}
_LAYER |= {f"mlp.{x}_proj": f"ffn_{x}" for x in ("gate", "up", "down")}
FACTORS = "rope_freqs.weight"
# settings that change what the model computes, each with the one value that we support
_FIXED = {"expert_count": 0, "rope.scaling.type": "none", "attention.causal": True, "use_parallel_residual": False}
_REFUSED = ("attention.sliding_window", "attention.scale", "attention.clamp_kqv", "attention.max_alibi_bias")
_REFUSED += ("embedding_scale", "residual_scale", "logit_scale", "expert_used_count", "rope.scaling.factor")


def gguf_name(name):
    """The name in a GGUF file of a tensor with this Hugging Face name.

    >>> gguf_name("model.layers.3.self_attn.o_proj.weight")
    'blk.3.attn_output.weight'
    """
    stem, kind = name.rsplit(".", 1)
    if stem in _TOP:
        return f"{_TOP[stem]}.{kind}"
    _, _, layer, rest = stem.split(".", 3)
    return f"blk.{layer}.{_LAYER[rest]}.{kind}"


def heads_of(name, config):
    """How many heads the rows of a tensor are, whose order differs between the formats; 0 of any other tensor."""
    kinds = {".self_attn.q_proj.": "num_attention_heads", ".self_attn.k_proj.": "num_key_value_heads"}
    return next((config[key] for kind, key in kinds.items() if kind in name), 0)


def rows_to_gguf(rows, heads):
    """The place here of every row there.

    >>> rows_to_gguf(8, 2).tolist()
    [0, 2, 1, 3, 4, 6, 5, 7]
    """
    return np.arange(rows).reshape(heads, 2, rows // heads // 2).swapaxes(1, 2).reshape(-1)


def rows_from_gguf(rows, heads):
    """The place there of every row here.

    >>> rows_from_gguf(12, 2).tolist()
    [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11]
    """
    return np.arange(rows).reshape(heads, rows // heads // 2, 2).swapaxes(1, 2).reshape(-1)


def read_gguf_config(header, path):
    """The config of a GGUF file, as read_config gives it, rope_scaling None; other architectures are refused.

    Parameters
        header: GgufHeader.
        path: how messages call the file.
    Raises
        FormatError: a key is missing, has another type, or asks for what we do not support.
        CheckpointError: numbers that contradict each other.
    """
    metadata, tensors = header.metadata, header.tensors
    if (name := _string(metadata, "general.architecture", path)) != "llama":
        raise FormatError(f"{path}: general.architecture is {shown(name)}; 'llama' is supported")
    _refuse_unsupported(metadata, path)
    config = {"model_type": "llama", "vocab_size": _vocabulary(tensors, path)}
    keys = {"hidden_size": ("embedding_length", SIZE), "intermediate_size": ("feed_forward_length", SIZE)}
    keys |= {"num_hidden_layers": ("block_count", LAYERS), "num_attention_heads": ("attention.head_count", SIZE)}
    keys |= {"max_position_embeddings": ("context_length", 2**30)}
    config |= {name: _integer(metadata, key, path, most) for name, (key, most) in keys.items()}
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    config["num_key_value_heads"] = _integer(metadata, "attention.head_count_kv", path, heads, heads)
    config["head_dim"] = _head_dim(metadata, hidden, heads, path)
    if heads % config["num_key_value_heads"]:
        raise CheckpointError(
            f"{path}: llama.attention.head_count_kv={config['num_key_value_heads']} does not divide the {heads} heads"
        )
    config["rms_norm_eps"] = _number(metadata, "attention.layer_norm_rms_epsilon", path, 0, 1)
    config["rope_theta"] = _number(metadata, "rope.freq_base", path, 1e-6, 1e12, 10000.0)
    config |= {"rope_scaling": None, "tie_word_embeddings": "output.weight" not in tensors, "quantization": None}
    biases = {"attention_bias": "attn_q", "attention_output_bias": "attn_output", "mlp_bias": "ffn_gate"}
    config |= {key: f"blk.0.{name}.bias" in tensors for key, name in biases.items()}
    bos, *ends = (_token(metadata, key, config["vocab_size"], path) for key in ("bos", "eos", "eot", "eom"))
    ends = list(dict.fromkeys(token for token in ends if token is not None))
    return config | {"bos_token_id": bos, "eos_token_ids": ends}


def check_gguf_tensors(header, shapes, path):
    """Refuse a file that lacks a tensor of the model, has it in another shape, or has one more.

    Parameters
        header: GgufHeader.
        shapes: Hugging Face name -> shape, see llama_tensors.
        path: how messages call the file.
    """
    expected = {gguf_name(name): shape for name, shape in shapes.items()}
    for name, shape in expected.items():
        if name not in header.tensors:
            raise CheckpointError(f"{path}: tensor {name} of shape {list(shape)} is missing")
        if header.tensors[name].shape != shape:
            found = list(header.tensors[name].shape)
            raise CheckpointError(f"{path}: tensor {name} has shape {found}; its metadata asks for {list(shape)}")
    for name in header.tensors:
        if name not in expected and name != FACTORS:
            raise CheckpointError(f"{path}: tensor {shown(name)} has no place in this model")


def _refuse_unsupported(metadata, path):
    for key, supported in _FIXED.items():
        value = metadata.get(f"llama.{key}")
        if value is not None and value.value != supported:
            raise FormatError(f"{path}: llama.{key} is {shown(value.value)}; only {supported!r} is supported")
    for key in _REFUSED:
        if f"llama.{key}" in metadata and metadata[f"llama.{key}"].value:
            raise FormatError(f"{path}: llama.{key} is {shown(metadata[f'llama.{key}'].value)}; it is not supported")


def _vocabulary(tensors, path):
    info = tensors.get("token_embd.weight")
    if info is None:
        raise CheckpointError(f"{path}: tensor token_embd.weight is missing")
    if len(info.shape) != 2 or info.shape[0] > SIZE:
        raise CheckpointError(f"{path}: tensor token_embd.weight has shape {list(info.shape)}; two axes are needed")
    return info.shape[0]


def _head_dim(metadata, hidden, heads, path):
    keys = ("attention.key_length", "attention.value_length", "rope.dimension_count")
    found = {key: _integer(metadata, key, path, SIZE) for key in keys if f"llama.{key}" in metadata}
    if not found and hidden % heads:
        raise CheckpointError(f"{path}: {heads} heads do not divide llama.embedding_length={hidden}")
    sizes = set(found.values()) or {hidden // heads}
    size = min(sizes)
    if len(sizes) > 1 or size % 2 or size * heads > SIZE:
        raise CheckpointError(
            f"{path}: a head is {sorted(sizes)} wide by {', '.join(found)}; one even number is needed"
        )
    return size


def _integer(metadata, key, path, most, default=None):
    kind, value = _value(metadata, f"llama.{key}", path, default)
    if kind == "[i32]" or kind == "[u32]":  # one number a layer
        kind, value = kind[1:-1], value[0] if value and len(set(value)) == 1 else value
    if kind not in SCALARS or type(value) is not int or not 1 <= value <= most:
        raise FormatError(f"{path}: llama.{key} is {shown(value)}; an integer of 1..{most} is needed")
    return value


def _number(metadata, key, path, low, high, default=None):
    kind, value = _value(metadata, f"llama.{key}", path, default)
    if kind not in ("f32", "f64") or not low < value < high:
        raise FormatError(f"{path}: llama.{key} is {shown(value)}; a number between {low} and {high} is needed")
    return float(str(np.float32(value)))  # the decimal that was meant: 1e-05, not 9.999999747378752e-06


def _string(metadata, key, path):
    kind, value = _value(metadata, key, path, None)
    if kind != "str":
        raise FormatError(f"{path}: {key} is {shown(value)}; a string is needed")
    return value


def _value(metadata, key, path, default):
    if key in metadata:
        return metadata[key]
    if default is None:
        raise FormatError(f"{path}: the key {key} is missing")
    return "f32" if isinstance(default, float) else "u32", default


def _token(metadata, kind, vocab_size, path):
    key = f"tokenizer.ggml.{kind}_token_id"
    if key not in metadata:
        return None
    form, value = metadata[key]
    if form not in ("u32", "i32") or not 0 <= value < vocab_size:
        raise FormatError(f"{path}: {key} is {shown(value)}; 0..{vocab_size - 1} is needed")
    return value
