"""The config of a LLaMA to the keys of a GGUF file."""

from refq.errors import FormatError
from refq.files.gguf_types import FILE_TYPES, Value


def model_metadata(config, kind, name=None):
    """The keys that a LLaMA needs beside those of its tokenizer.

    Parameters
        config: see read_config.
        kind: the type of most weights, as "Q4_0".
        name: what `general.name` says.
    Returns
        dict, key -> Value.
    Raises
        FormatError: a family that a GGUF of architecture "llama" does not say.
    """
    if config["model_type"] not in ("llama", "mistral"):
        raise FormatError(f"model_type {config['model_type']!r}; llama and mistral are written as GGUF")
    general = {"architecture": Value("str", "llama"), "file_type": Value("u32", FILE_TYPES[kind])}
    general |= {"quantization_version": Value("u32", 2)} | ({"name": Value("str", name)} if name else {})
    numbers = {"context_length": "max_position_embeddings", "embedding_length": "hidden_size"}
    numbers |= {"block_count": "num_hidden_layers", "feed_forward_length": "intermediate_size"}
    numbers |= {"attention.head_count": "num_attention_heads", "attention.head_count_kv": "num_key_value_heads"}
    numbers |= {f"attention.{kind}_length": "head_dim" for kind in ("key", "value")}
    numbers |= {"rope.dimension_count": "head_dim", "vocab_size": "vocab_size"}
    llama = {key: Value("u32", config[source]) for key, source in numbers.items()}
    llama["attention.layer_norm_rms_epsilon"] = Value("f32", config["rms_norm_eps"])
    llama["rope.freq_base"] = Value("f32", config["rope_theta"])
    return {f"general.{key}": value for key, value in general.items()} | {
        f"llama.{key}": value for key, value in llama.items()
    }


def token_metadata(bos, ends, vocabulary):
    """The keys of the special tokens.

    Parameters
        bos: id of the beginning token, or None.
        ends: ids of the end tokens; the first is that of a text, the second that of a turn.
        vocabulary: what tokenizer_metadata gives.
    """
    found = {"bos": bos, **dict(zip(("eos", "eot"), ends, strict=False))}
    types = vocabulary["tokenizer.ggml.token_type"].value
    found["unknown"] = types.index(2) if 2 in types else None
    return {f"tokenizer.ggml.{k}_token_id": Value("u32", token) for k, token in found.items() if token is not None}
