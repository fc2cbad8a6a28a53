"""Small seeded models for tests, LLaMA and BERT."""

import numpy as np

SCALING = {
    "rope_type": "llama3",
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}


def seeded_model(seed, layers=2, K=1, R=2, d=4, D=8, F=12, V=11, tied=True, biases=(), scaling=None):
    """(params, config) with random float32 weights; `biases` are the letters of q, k, v, o and m for the mlp."""
    random = np.random.default_rng(seed)

    def weight(*shape):
        return (random.standard_normal(shape) * 0.5).astype(np.float32)

    linears = {f"self_attn.{name}_proj": (K * R * d if name == "q" else K * d, D) for name in "qkv"}
    linears |= {"self_attn.o_proj": (D, K * R * d)}
    linears |= {"mlp.gate_proj": (F, D), "mlp.up_proj": (F, D), "mlp.down_proj": (D, F)}
    params = {"model.embed_tokens.weight": weight(V, D), "model.norm.weight": 1 + weight(D)}
    for layer in range(layers):
        for name, shape in linears.items():
            params[f"model.layers.{layer}.{name}.weight"] = weight(*shape)
            if name.removeprefix("self_attn.")[0] in biases:
                params[f"model.layers.{layer}.{name}.bias"] = weight(shape[0])
        for name in ("input_layernorm", "post_attention_layernorm"):
            params[f"model.layers.{layer}.{name}.weight"] = 1 + weight(D)
    if not tied:
        params["lm_head.weight"] = weight(V, D)
    heads = {"num_attention_heads": K * R, "num_key_value_heads": K, "head_dim": d}
    rotary = {"rope_theta": 10000.0, "rope_scaling": scaling}
    return params, {"num_hidden_layers": layers, "rms_norm_eps": 1e-5} | heads | rotary


def wide(params):
    """The same model in float64."""
    return {name: array.astype(np.float64) for name, array in params.items()}


def seeded_bert(seed, layers=2, H=2, D=4, F=6, V=11, positions=8, width=None, shared=False, pooler=True, act="gelu"):
    """(params, config) of a small BERT; `width` is that of a factorised embedding."""
    random = np.random.default_rng(seed)
    params = {}

    def linear(name, out, inputs):
        params[f"{name}.weight"] = (random.standard_normal((out, inputs)) * 0.5).astype(np.float32)
        params[f"{name}.bias"] = (random.standard_normal(out) * 0.5).astype(np.float32)

    def norm(name, size):
        params[f"{name}.weight"] = 1 + (random.standard_normal(size) * 0.3).astype(np.float32)
        params[f"{name}.bias"] = (random.standard_normal(size) * 0.3).astype(np.float32)

    for name, rows in (("word", V), ("position", positions), ("token_type", 2)):
        table = random.standard_normal((rows, width or D)).astype(np.float32)
        params[f"embeddings.{name}_embeddings.weight"] = table
    norm("embeddings.LayerNorm", width or D)
    if width:
        linear("encoder.embedding_hidden_mapping_in", D, width)
    for layer in range(1 if shared else layers):
        for part in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            linear(f"encoder.layer.{layer}.{part}", D, D)
        norm(f"encoder.layer.{layer}.attention.output.LayerNorm", D)
        linear(f"encoder.layer.{layer}.intermediate.dense", F, D)
        linear(f"encoder.layer.{layer}.output.dense", D, F)
        norm(f"encoder.layer.{layer}.output.LayerNorm", D)
    if pooler:
        linear("pooler.dense", D, D)
    config = {"num_hidden_layers": layers, "num_attention_heads": H, "layer_norm_eps": 1e-12}
    return params, config | {"hidden_act": act, "shared_layers": shared}
