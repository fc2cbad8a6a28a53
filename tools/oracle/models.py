"""LLaMA and BERT at 50 digits."""

from tools.oracle.encoder import attention_of, gelu_of, gelu_tanh_of, layer_norm_of, tanh_of
from tools.oracle.numbers import Array, Bounded, rows
from tools.oracle.ops import (
    bounded_list,
    causal_attention_of,
    embed,
    frequency,
    linear_of,
    rms_norm_of,
    rope_of,
    swiglu_of,
)
from tools.oracle.reals import bounded, lift


def llama_forward(params, tokens, config):
    return bounded(llama_of(lifted(params), tokens, None, config)[0])


def llama_decode(params, tokens, cache, config):
    logits, cache, _ = llama_of(lifted(params), tokens, cache, config)
    value, within = bounded(logits)
    layers = [bounded_list(pair) for pair in cache]
    return Bounded([value, [pair.value for pair in layers]], [within, [pair.within for pair in layers]])


def lifted(params):
    """The weights as Reals."""
    return {name: lift(array) for name, array in params.items()}


def llama_of(weights, tokens, cache, config, inputs=lambda x, layer: x, heads_of=lambda x, kind: x):
    """Logits; (k, v) of each layer with what the cache had; and what was seen on the way.

    inputs: a function of the input of every linear layer in the blocks, and of its name.
    heads_of: a function of what attention takes, (B, heads, T, d), and of its kind: "q", "k" or "v".
    seen: "hidden", the states after the embedding and after each layer; "queries" of each layer, (B, K, R, T, d).
    """
    B, T = tokens.shape
    heads, K, d = config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"]
    half = range(d // 2)
    frequencies = Array(
        "float64", (d // 2,), [frequency(i, d, config["rope_theta"], config["rope_scaling"]) for i in half]
    )
    past = cache[0][0].shape[2] if cache else 0
    positions = Array("int32", (T,), list(range(past, past + T)))
    grown, seen = [], {"hidden": [], "queries": []}

    def rotated(x):
        return rope_of(x, positions, frequencies)

    x = embed(tokens, weights["model.embed_tokens.weight"])
    seen["hidden"].append(x)
    for layer in range(config["num_hidden_layers"]):

        def norm(name, x, layer=layer):
            return rms_norm_of(x, weights[f"model.layers.{layer}.{name}.weight"], config["rms_norm_eps"])

        def linear(name, x, layer=layer):
            name = f"model.layers.{layer}.{name}"
            return linear_of(inputs(x, name), weights[f"{name}.weight"], weights.get(f"{name}.bias"))

        h = norm("input_layernorm", x)
        q, k, v = (linear(f"self_attn.{name}_proj", h) for name in "qkv")
        q, k, v = rotated(_heads_first(q, heads, d)), rotated(_heads_first(k, K, d)), _heads_first(v, K, d)
        q, k, v = (heads_of(part, kind) for part, kind in zip((q, k, v), "qkv", strict=True))
        if cache:
            k, v = _joined(lift(cache[layer][0]), k), _joined(lift(cache[layer][1]), v)
        grown.append((k, v))
        q = q._replace(shape=(B, K, heads // K, T, d))
        seen["queries"].append(q)
        y = causal_attention_of(q, k, v)
        y = _heads_last(y._replace(shape=(B, heads, T, d)))
        x = _plus(x, linear("self_attn.o_proj", y))
        h = norm("post_attention_layernorm", x)
        x = _plus(x, linear("mlp.down_proj", swiglu_of(linear("mlp.gate_proj", h), linear("mlp.up_proj", h))))
        seen["hidden"].append(x)
    x = rms_norm_of(x, weights["model.norm.weight"], config["rms_norm_eps"])
    head = weights["lm_head.weight" if "lm_head.weight" in weights else "model.embed_tokens.weight"]
    return linear_of(x, head), grown, seen


def _heads_first(x, heads, d):
    """(B, T, heads * d) to (B, heads, T, d)."""
    B, T, _ = x.shape
    parts = [x.data[i : i + d] for i in range(0, len(x.data), d)]  # (B, T, heads)
    data = [v for b in range(B) for h in range(heads) for t in range(T) for v in parts[(b * T + t) * heads + h]]
    return Array(x.dtype, (B, heads, T, d), data)


def _heads_last(x):
    """(B, heads, T, d) to (B, T, heads * d)."""
    B, heads, T, d = x.shape
    parts = rows(x)
    data = [v for b in range(B) for t in range(T) for h in range(heads) for v in parts[(b * heads + h) * T + t]]
    return Array(x.dtype, (B, T, heads * d), data)


def _joined(past, new):
    """Along the positions of (B, K, S, d)."""
    B, K, S, d = past.shape
    T = new.shape[2]
    data = []
    for n in range(B * K):
        data += past.data[n * S * d : (n + 1) * S * d] + new.data[n * T * d : (n + 1) * T * d]
    return Array(new.dtype, (B, K, S + T, d), data)


def _plus(a, b):
    return Array(a.dtype, a.shape, [p + q for p, q in zip(a.data, b.data, strict=True)])


def bert_forward(params, tokens, mask, config, types=None):
    hidden, pooled = bert_of(lifted(params), tokens, mask, config, types)
    return bounded_list([hidden, pooled])


def bert_of(weights, tokens, mask, config, types):
    """The states of all tokens, and the pooled one or None."""
    B, T = tokens.shape
    types = types or tokens._replace(data=[0] * (B * T))
    positions = tokens._replace(data=list(range(T)) * B)

    def table(name, places):
        return embed(places, weights[f"embeddings.{name}_embeddings.weight"])

    def linear(name, x):
        return linear_of(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))

    def norm(name, x):
        return layer_norm_of(x, weights[f"{name}.weight"], weights[f"{name}.bias"], config["layer_norm_eps"])

    x = _plus(_plus(table("word", tokens), table("position", positions)), table("token_type", types))
    x = norm("embeddings.LayerNorm", x)
    if "encoder.embedding_hidden_mapping_in.weight" in weights:
        x = linear("encoder.embedding_hidden_mapping_in", x)
    act = {"gelu": gelu_of, "gelu_tanh": gelu_tanh_of}[config["hidden_act"]]
    for number in range(config["num_hidden_layers"]):
        layer, H = f"encoder.layer.{0 if config['shared_layers'] else number}", config["num_attention_heads"]
        parts = (linear(f"{layer}.attention.self.{part}", x) for part in ("query", "key", "value"))
        q, k, v = (_heads_first(part, H, part.shape[-1] // H) for part in parts)
        h = linear(f"{layer}.attention.output.dense", _heads_last(attention_of(q, k, v, mask)))
        x = norm(f"{layer}.attention.output.LayerNorm", _plus(x, h))
        h = linear(f"{layer}.output.dense", act(linear(f"{layer}.intermediate.dense", x)))
        x = norm(f"{layer}.output.LayerNorm", _plus(x, h))
    if "pooler.dense.weight" not in weights:
        return x, None
    first = Array(x.dtype, (B, x.shape[-1]), [v for row in rows(x)[::T] for v in row])
    return x, tanh_of(linear("pooler.dense", first))
