"""Outliers put into a model that has none, for tests and benchmarks: its outputs do not change."""

import numpy as np

from refq.transforms.sites import fold_site, sites

NORMS = ("input_layernorm", "post_attention_layernorm")


def inject_outliers(params, config, channels, factors, hidden=()):
    """Make some channels of what the norms give `factors` times as large, and divide the columns that read them.

    Powers of two change no output by a bit; other factors by rounding alone.

    Parameters
        params, config: as llama_forward takes them; weights that are arrays.
        channels: list of channels of the residual stream, made larger after both norms of every block.
        factors: number, or one a channel; above 0.
        hidden: list of channels between up_proj and down_proj, made larger by the first factors.
    Returns
        params: a new dict.

    >>> params = {"model.layers.0.input_layernorm.weight": np.float32([1, 1])}
    >>> params |= {f"model.layers.0.self_attn.{n}_proj.weight": np.float32([[1, 1]]) for n in "qkv"}
    >>> params |= {"model.layers.0.post_attention_layernorm.weight": np.float32([1, 1])}
    >>> params |= {f"model.layers.0.mlp.{n}_proj.weight": np.float32([[1, 1]]) for n in ("gate", "up")}
    >>> found = inject_outliers(params, {"num_hidden_layers": 1}, [1], 8)
    >>> found["model.layers.0.input_layernorm.weight"], found["model.layers.0.self_attn.q_proj.weight"]
    (array([1., 8.], dtype=float32), array([[1.   , 0.125]], dtype=float32))
    """
    places = [(kind, channels) for kind in NORMS] + [("mlp.up_proj", hidden)]
    for kind, chosen in places:
        for previous, following in sites(config, [kind]) if len(chosen) else []:
            weight = params[f"{previous}.weight"]
            scale = np.ones(len(weight), weight.dtype)
            scale[list(chosen)] = 1 / np.broadcast_to(factors, np.shape(factors) or len(chosen))[: len(chosen)]
            params = fold_site(params, previous, following, scale)
    return params
