"""Small seeded LLaMA models for tests."""

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
