"""Where in a LLaMA block channels can be transformed: what makes them, and all that reads them."""

from refq.transforms.fold import fold

READERS = {
    "input_layernorm": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "post_attention_layernorm": ("mlp.gate_proj", "mlp.up_proj"),
    "mlp.up_proj": ("mlp.down_proj",),
}


def sites(config, kinds=tuple(READERS)):
    """(layer that makes the channels, [layers that read them]) by name, for every block, of the kinds given.

    >>> sites({"num_hidden_layers": 1}, ["mlp.up_proj"])
    [('model.layers.0.mlp.up_proj', ['model.layers.0.mlp.down_proj'])]
    """
    return [site for layer in range(config["num_hidden_layers"]) for site in block_sites(layer, kinds)]


def block_sites(layer, kinds=tuple(READERS)):
    """Those of one block.

    >>> block_sites(3, ["mlp.up_proj"])
    [('model.layers.3.mlp.up_proj', ['model.layers.3.mlp.down_proj'])]
    """
    block = f"model.layers.{layer}."
    return [(block + kind, [block + reader for reader in READERS[kind]]) for kind in kinds]


def fold_site(params, previous, following, scale, shift=None):
    """params with fold applied to layers by name; everything else as it is."""
    before, after = fold(_layer(params, previous), [_layer(params, name) for name in following], scale, shift)
    folded = dict(params)
    for name, layer in zip([previous, *following], [before, *after], strict=True):
        folded |= {f"{name}.{part}": array for part, array in layer.items()}
    return folded


def _layer(params, name):
    return {part: params[f"{name}.{part}"] for part in ("weight", "bias") if f"{name}.{part}" in params}
