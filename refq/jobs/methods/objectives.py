"""What a search compares: the output of the part of a block that reads some channels."""

import numpy as np

from refq.models.llama import llama_attention
from refq.transforms.sites import READERS


def output(site, params, x, layer, settings, ops, through=False):
    """What a site's readers make of its channels.

    input_layernorm: the output of attention;  post_attention_layernorm: swiglu(gate, up);  mlp.up_proj: down_proj's

    Parameters
        site: key of READERS.
        params: of the block, as `runnable` gives them.
        x: float32 (n, T, channels), what the readers see.
        through: bool; attention and swiglu are followed by their output projection.
    """

    def linear(part, x):
        name = f"model.layers.{layer}.{part}"
        return ops.linear(x, params[f"{name}.weight"], params.get(f"{name}.bias"))

    if site == "input_layernorm":
        y = llama_attention(params, x, layer, settings.config, ops)
        return linear("self_attn.o_proj", y) if through else y
    if site == "post_attention_layernorm":
        y = ops.swiglu(linear("mlp.gate_proj", x), linear("mlp.up_proj", x))
        return linear("mlp.down_proj", y) if through else y
    return linear("mlp.down_proj", x)


def readers(block, site):
    """Full names of the layers that read the channels of a site."""
    return [block.name(reader) for reader in READERS[site]]


def open_sites(block, settings, sites=tuple(READERS)):
    """Those of the sites with a reader that is quantized, and no reader whose input something alters at run time."""
    found = []
    for site in sites:
        layers = readers(block, site)
        if any(layer in settings.schemes for layer in layers) and not any(layer in block.inputs for layer in layers):
            found.append(site)
    return found


def squared_error(y, y_hat):
    """Sum of squares of the differences, in float64; infinite where it is no number."""
    with np.errstate(over="ignore", invalid="ignore"):
        error = float(np.square(y - y_hat, dtype=np.float64).sum())
    return error if np.isfinite(error) else np.inf
