"""A whole LLaMA in rotated channels: QuaRot's merge."""

import numpy as np

from refq.transforms import arguments_rotation as arguments
from refq.transforms.hadamard import hadamard_transform
from refq.transforms.inputs import RotatedInput
from refq.transforms.sites import block_sites

ONLINE = ("self_attn.o_proj", "mlp.down_proj")  # whose inputs can be rotated at run time
NORMS = ("input_layernorm", "post_attention_layernorm")


def fuse_norms(params, config):
    """Move the gain of every norm into the layers that read it.

    weight * gain for each of them;  gain = 1

    Parameters
        params, config: as llama_forward takes them; every weight a float array.
    Returns
        params: a new dict; with "lm_head.weight", for a tied head reads the last norm and the embedding does not.
    Raises
        DtypeError: a weight that is no float array.
        ShapeError: a gain does not fit a weight that reads it, or a weight is missing.

    >>> params = {"model.embed_tokens.weight": np.float32([[1, 2]]), "model.norm.weight": np.float32([3, 4])}
    >>> fused = fuse_norms(params, {"num_hidden_layers": 0})
    >>> fused["model.norm.weight"], fused["lm_head.weight"]
    (array([1., 1.], dtype=float32), array([[3., 8.]], dtype=float32))

    Source: QuaRot (2404.00456), after SliceGPT (2401.15024).
    Spec: fuse_norms
    """
    fused = _fused_head(params)
    for layer in range(config["num_hidden_layers"]):
        _fuse(fused, block_sites(layer, NORMS))
    return fused


def rotate(params, config, signs, online=False):
    """The same model with its channels rotated, so that no single one has outliers.

    x' = (x * signs) @ hadamard(D).T / sqrt(D) between the blocks; values of a head by hadamard(head_dim) likewise

    Parameters
        params, config: as llama_forward takes them; every weight a float array.
        signs: dtype of the weights, (D,), 1 or -1: they make the rotation a random one.
        online: bool; o_proj and down_proj become RotatedInput, whose input is rotated at run time, over the heads and
            over all hidden channels.
    Returns
        params: a new dict, with norms fused; for llama_forward, where online with transformed_inputs(ops).
    Raises
        DtypeError: a weight that is no float array.
        GridError: a sign that is neither 1 nor -1.
        ShapeError: the shapes do not fit, or a weight is missing.

    >>> params = {"model.embed_tokens.weight": np.float32([[3, 3, 1, 1]]), "model.norm.weight": np.ones(4, np.float32)}
    >>> rotate(params, {"num_hidden_layers": 0}, np.float32([1, -1, 1, 1]))["model.embed_tokens.weight"]
    array([[ 1.,  3., -1.,  3.]], dtype=float32)

    Source: QuaRot (2404.00456).
    Spec: rotate
    """
    rotated = rotated_ends(params, signs)
    for layer in range(config["num_hidden_layers"]):
        rotated |= rotated_block(rotated, layer, config, signs, online)
    return rotated


def rotated_ends(params, signs):
    """What rotate makes of embedding, last norm and head; all else as it is."""
    rotated = _fused_head(params)
    _turn_columns(rotated, ["model.embed_tokens", "lm_head"], arguments.signs(signs, rotated["model.norm.weight"]))
    return rotated


def rotated_block(params, layer, config, signs, online=False):
    """What rotate makes of one block; all else as it is."""
    rotated, places, block = dict(params), block_sites(layer, NORMS), f"model.layers.{layer}"
    _fuse(rotated, places)
    signs = arguments.signs(signs, rotated[f"{block}.input_layernorm.weight"])
    _turn_columns(rotated, [reader for _, readers in places for reader in readers], signs)
    for name in ONLINE:
        _turn_outputs(rotated, f"{block}.{name}", signs)
    _turn_values(rotated, f"{block}.self_attn", config["head_dim"])
    if online:
        rotated |= {
            f"{block}.{name}.weight": rotated_input(rotated, f"{block}.{name}", config["head_dim"]) for name in ONLINE
        }
    return rotated


def rotated_input(params, layer, d):
    """The weight of an o_proj or a down_proj whose input is rotated at run time: over the heads, over all channels."""
    w = params[f"{layer}.weight"]
    if layer.endswith(ONLINE[1]):
        return RotatedInput(hadamard_transform(w))
    heads = w.reshape(len(w), -1, d).swapaxes(1, 2)
    return RotatedInput(hadamard_transform(heads).swapaxes(1, 2).reshape(w.shape), d)


def _fused_head(params):
    """With a head of its own, if it was tied."""
    fused = {"lm_head.weight": params.get("model.embed_tokens.weight")} | dict(params)
    _fuse(fused, [("model.norm", ["lm_head"])])
    return fused


def _fuse(params, places):
    """Gains of norms into what reads them."""
    for norm, readers in places:
        gain = arguments.gain(params, f"{norm}.weight")
        for name in (f"{reader}.weight" for reader in readers):
            params[name] = arguments.matrix(params, name, gain) * gain
        params[f"{norm}.weight"] = np.ones_like(gain)


def _turn_columns(params, layers, signs):
    for name in (f"{layer}.weight" for layer in layers):
        params[name] = hadamard_transform(arguments.matrix(params, name, signs) * signs)


def _turn_outputs(params, name, signs):
    """The rows of a weight, and its bias."""
    w = arguments.matrix(params, f"{name}.weight", signs, axis=0)
    params[f"{name}.weight"] = hadamard_transform(w.T * signs).T
    if f"{name}.bias" in params:
        params[f"{name}.bias"] = hadamard_transform(arguments.bias(params, f"{name}.bias", signs) * signs)


def _turn_values(params, attention, d):
    """The rows of v_proj and the columns of o_proj, a head at a time."""
    v, o = f"{attention}.v_proj", f"{attention}.o_proj"
    w = params[f"{v}.weight"]
    params[f"{v}.weight"] = _by_head(v, w.T, d).T
    if f"{v}.bias" in params:
        params[f"{v}.bias"] = _by_head(v, arguments.bias(params, f"{v}.bias", w[:, 0]), d)
    params[f"{o}.weight"] = _by_head(o, params[f"{o}.weight"], d)


def _by_head(name, w, d):
    parts = w.reshape(*w.shape[:-1], -1, arguments.heads(name, w.shape[-1], d))
    return hadamard_transform(parts).reshape(w.shape)
