"""BERT on one page: an encoder of whole sentences. ALBERT is the same page with one layer used many times."""

import numpy as np

import refq.ops
from refq.errors import GridError, ShapeError

ACTIVATIONS = ("gelu", "gelu_tanh")


def bert_forward(params, tokens, mask, config, ops=None, types=None):
    """The state of every token, and one of the sequence.

    x = norm(word + position + type);  each layer: x = norm(x + attention(x)), x = norm(x + mlp(x));
    pooled = tanh(linear(x of the first token))

    Parameters
        params: dict of the names in Hugging Face's BertModel to arrays of one float dtype; linear weights may be
            PackedWeight. With "encoder.embedding_hidden_mapping_in.weight" the embedding has a width of its own.
        tokens: integers, (B, T).
        mask: bool, (B, T): which tokens are no padding. Tokens of padding have states too, of no use.
        config: dict with num_hidden_layers, num_attention_heads, layer_norm_eps, hidden_act ("gelu" or "gelu_tanh"),
            shared_layers (whether layer 0 serves for all).
        ops: namespace of the operations; None for refq.ops.
        types: integers, (B, T): the sentence that each token belongs to; None for 0.
    Returns
        (hidden, pooled): (B, T, D) and (B, D), dtype of params; pooled is None without "pooler.dense.weight".
    Raises
        ShapeError: tokens, types or a weight does not fit.
        GridError: another hidden_act.

    >>> names = ("word", "position", "token_type")
    >>> tables = {f"embeddings.{name}_embeddings.weight": np.float32([[1, -1]]) for name in names}
    >>> norm = {"embeddings.LayerNorm.weight": np.float32([1, 1]), "embeddings.LayerNorm.bias": np.float32([0, 1])}
    >>> config = {"num_hidden_layers": 0, "layer_norm_eps": 27.0, "hidden_act": "gelu"}
    >>> bert_forward(tables | norm, np.array([[0]]), np.array([[True]]), config)
    (array([[[0.5, 0.5]]], dtype=float32), None)

    Source: Devlin et al. 2018 (1810.04805), section 3; Lan et al. 2019 (1909.11942) for ALBERT; names: transformers.
    Spec: bert_forward
    """
    ops, types = ops or refq.ops, np.zeros_like(tokens) if types is None else types
    _check(params, tokens, types, config)

    def linear(name, x):
        return ops.linear(x, params[f"{name}.weight"], params.get(f"{name}.bias"))

    def norm(name, x):
        return ops.layer_norm(x, params[f"{name}.weight"], params[f"{name}.bias"], config["layer_norm_eps"])

    def table(name, rows):
        return ops.embed(rows, params[f"embeddings.{name}_embeddings.weight"])

    x = table("word", tokens) + table("position", np.arange(np.shape(tokens)[1])) + table("token_type", types)
    x = norm("embeddings.LayerNorm", x)  # (B, T, D), or the width of the embedding
    if "encoder.embedding_hidden_mapping_in.weight" in params:
        x = linear("encoder.embedding_hidden_mapping_in", x)
    for layer in range(config["num_hidden_layers"]):
        x = _block(x, mask, 0 if config["shared_layers"] else layer, config, ops, linear, norm)
    pooled = ops.tanh(linear("pooler.dense", x[:, 0])) if "pooler.dense.weight" in params else None
    return x, pooled


def _block(x, mask, layer, config, ops, linear, norm):
    name, H = f"encoder.layer.{layer}", config["num_attention_heads"]
    q, k, v = (_heads(linear(f"{name}.attention.self.{part}", x), H) for part in ("query", "key", "value"))
    h = ops.attention(q, k, v, mask).transpose(0, 2, 1, 3).reshape(*x.shape[:2], -1)
    x = norm(f"{name}.attention.output.LayerNorm", x + linear(f"{name}.attention.output.dense", h))

    h = getattr(ops, config["hidden_act"])(linear(f"{name}.intermediate.dense", x))
    return norm(f"{name}.output.LayerNorm", x + linear(f"{name}.output.dense", h))


def _heads(x, H):
    """(B, T, H d) to (B, H, T, d)."""
    B, T, width = x.shape
    if width % H:
        raise ShapeError(f"a projection gives {width} values; a multiple of {H} is needed, one part a head")
    return x.reshape(B, T, H, width // H).transpose(0, 2, 1, 3)


def _check(params, tokens, types, config):
    if np.ndim(tokens) != 2 or np.shape(tokens)[1] == 0:
        raise ShapeError(f"tokens has shape {np.shape(tokens)}; the axes (B, T) are needed, with T of 1 or more")
    T, positions = np.shape(tokens)[1], params["embeddings.position_embeddings.weight"].shape[0]
    if T > positions:
        raise ShapeError(f"tokens has {T} positions; the model has {positions}")
    if np.shape(types) != np.shape(tokens):
        raise ShapeError(f"types has shape {np.shape(types)}; tokens needs {np.shape(tokens)}")
    if config["hidden_act"] not in ACTIVATIONS:
        raise GridError(f"hidden_act is {config['hidden_act']!r}; {' or '.join(map(repr, ACTIVATIONS))} is needed")
