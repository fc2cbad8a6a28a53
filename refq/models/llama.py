"""LLaMA on one page: the forward pass, and the same with a cache of keys and values."""

import math

import numpy as np

import refq.ops
from refq.errors import ShapeError


def llama_forward(params, tokens, config, ops=None):
    """Logits of the next token at every position.

    x = embed(tokens);  each layer: x = x + attention(norm(x)), x = x + mlp(norm(x));  logits = linear(norm(x), head)

    Parameters
        params: dict of Hugging Face names to arrays of one float dtype; linear weights may be PackedWeight. Biases are
            used where they are present; without "lm_head.weight" the embedding is the head.
        tokens: integers, (B, T).
        config: dict with num_hidden_layers, num_attention_heads, num_key_value_heads, head_dim, rms_norm_eps,
            rope_theta, rope_scaling.
        ops: namespace of the operations; None for refq.ops.
    Returns
        logits: (B, T, V), dtype of params.
    Raises
        ShapeError: tokens or a weight does not fit.

    >>> params = {"model.embed_tokens.weight": np.float32([[1, -1], [1, 1]]), "model.norm.weight": np.float32([1, 1])}
    >>> config = {"num_hidden_layers": 0, "head_dim": 2, "rms_norm_eps": 3.0, "rope_theta": 1.0, "rope_scaling": None}
    >>> llama_forward(params, np.array([[1]]), config)
    array([[[0., 1.]]], dtype=float32)

    Source: Touvron et al. 2023 (2302.13971), section 2.2; grouped queries and names as in transformers.
    Spec: llama_forward
    """
    ops = ops or refq.ops
    _check(tokens)
    x = ops.embed(tokens, params["model.embed_tokens.weight"])  # (B, T, D)
    for layer in range(config["num_hidden_layers"]):
        x = llama_block(params, x, layer, config, ops)
    return _logits(x, params, config, ops)


def llama_block(params, x, layer, config, ops):
    """One block of llama_forward, for what goes through a model block by block: (B, T, D) to (B, T, D)."""
    return _block(x, layer, params, config, ops, _attend(x, config, ops))


def llama_attention(params, h, layer, config, ops):
    """What o_proj of a block sees: (B, T, D), which the first norm gave, to (B, T, heads * head_dim)."""
    return _attention(h, layer, params, config, ops, _attend(h, config, ops))


def llama_logits(params, x, config, ops):
    """What follows the last block of llama_forward: (B, T, D) to (B, T, V)."""
    return _logits(x, params, config, ops)


def llama_decode(params, tokens, cache, config, ops=None):
    """The logits of llama_forward for tokens that continue those in the cache.

    llama_forward(params, [a b], config) = [llama_decode(a, None), llama_decode(b, cache of a)]

    Parameters
        params, config, ops: as llama_forward takes them.
        tokens: integers, (B, T): the new tokens.
        cache: None at the start, else the cache returned by the call before.
    Returns
        (logits, cache): (B, T, V); and a list with (k, v) of each layer, each (B, K, S, d), S positions so far.
    Raises
        ShapeError: tokens, cache or a weight does not fit.

    >>> params = {"model.embed_tokens.weight": np.float32([[1, -1], [1, 1]]), "model.norm.weight": np.float32([1, 1])}
    >>> config = {"num_hidden_layers": 0, "head_dim": 2, "rms_norm_eps": 3.0, "rope_theta": 1.0, "rope_scaling": None}
    >>> llama_decode(params, np.array([[1]]), None, config)
    (array([[[0., 1.]]], dtype=float32), [])

    Source: as llama_forward; keys and values of earlier positions do not change.
    Spec: llama_decode
    """
    ops = ops or refq.ops
    x, cache = llama_continue(params, tokens, cache, config, ops)
    return _logits(x, params, config, ops), cache


def llama_continue(params, tokens, cache, config, ops):
    """What llama_logits makes logits of, (B, T, D), and the cache: llama_decode up to there."""
    layers = config["num_hidden_layers"]
    if cache is not None and len(cache) != layers:
        raise ShapeError(f"cache has {len(cache)} layers; {layers} are needed")
    _check(tokens)
    rotate = _rotation(cache[0][0].shape[2] if cache else 0, np.shape(tokens)[1], config, ops)
    grown = list(cache or [None] * layers)

    def attend(layer, q, k, v):
        grown[layer] = _appended(grown[layer], rotate(k), v)
        return ops.causal_attention(rotate(q), *grown[layer])

    x = ops.embed(tokens, params["model.embed_tokens.weight"])  # (B, T, D)
    for layer in range(layers):
        x = _block(x, layer, params, config, ops, attend)
    return x, grown


def _block(x, layer, params, config, ops, attend):
    def norm(name, x):
        return ops.rms_norm(x, params[f"model.layers.{layer}.{name}.weight"], config["rms_norm_eps"])

    linear = _linear(layer, params, ops)
    h = _attention(norm("input_layernorm", x), layer, params, config, ops, attend)
    x = x + linear("self_attn.o_proj", h)
    h = norm("post_attention_layernorm", x)
    return x + linear("mlp.down_proj", ops.swiglu(linear("mlp.gate_proj", h), linear("mlp.up_proj", h)))


def _attention(h, layer, params, config, ops, attend):
    linear = _linear(layer, params, ops)
    B, T, _ = h.shape
    K, d = config["num_key_value_heads"], config["head_dim"]
    R = config["num_attention_heads"] // K  # query head h reads key/value head h // R
    q = _heads(linear("self_attn.q_proj", h), K, R, d)  # (B, K, R, T, d)
    k = _heads(linear("self_attn.k_proj", h), K, d)  # (B, K, T, d)
    v = _heads(linear("self_attn.v_proj", h), K, d)
    return attend(layer, q, k, v).transpose(0, 3, 1, 2, 4).reshape(B, T, K * R * d)


def _attend(x, config, ops):
    """Attention that has no cache, and positions from 0."""
    rotate = _rotation(0, x.shape[1], config, ops)
    return lambda _, q, k, v: ops.causal_attention(rotate(q), rotate(k), v)


def _linear(layer, params, ops):
    def linear(name, x):
        name = f"model.layers.{layer}.{name}"
        return ops.linear(x, params[f"{name}.weight"], params.get(f"{name}.bias"))

    return linear


def _heads(x, *heads):
    """(B, T, width) to (B, ..heads, T, d): time moves in front of the head width."""
    B, T, width = x.shape
    if width != math.prod(heads):
        raise ShapeError(f"a projection gives {width} values; {' x '.join(map(str, heads))} are needed")
    n = len(heads)
    return x.reshape(B, T, *heads).transpose(0, *range(2, n + 1), 1, n + 1)


def _logits(x, params, config, ops):
    x = ops.rms_norm(x, params["model.norm.weight"], config["rms_norm_eps"])
    head = "lm_head" if "lm_head.weight" in params else "model.embed_tokens"  # tied
    return ops.linear(x, params[f"{head}.weight"])


def _check(tokens):
    if np.ndim(tokens) != 2:
        raise ShapeError(f"tokens has shape {np.shape(tokens)}; the axes (B, T) are needed")


def _rotation(start, length, config, ops):
    positions = np.arange(start, start + length)
    frequencies = ops.rope_frequencies(config["head_dim"], config["rope_theta"], config["rope_scaling"])
    return lambda x: ops.rope(x, positions, frequencies)


def _appended(past, k, v):
    if past is None:
        return k, v
    B, K, _, d = k.shape
    for old in past:
        if old.ndim != 4 or old.shape != (B, K, past[0].shape[2], d):
            raise ShapeError(f"cache has the shape {old.shape}; ({B}, {K}, S, {d}) is needed, the same for k and v")
    return np.concatenate([past[0], k], axis=2), np.concatenate([past[1], v], axis=2)
