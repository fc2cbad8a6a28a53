"""A model directory to the arrays an engine computes with, and its logits in pieces of bounded memory."""

import numpy as np

from refq.files.checkpoint import llama_tensors, open_checkpoint
from refq.files.gguf import is_gguf
from refq.jobs.gguf import load_gguf
from refq.jobs.progress import progress
from refq.jobs.stored import read_floats
from refq.jobs.stored_inputs import read_layer
from refq.models.decoder import quantized_cache
from refq.training.activations import quantized_attention, quantized_inputs
from refq.transforms.inputs import ReassembledInput, rotated_queries, transformed_inputs

NUMBERS = 2**22  # in the widest intermediate result of one call: 16 MB in float32


def load_model(directory, engine, activations=True):
    """Read a model directory, float or quantized, or a GGUF file into the parameters that `llama_forward` takes.

    Memory: a float tensor takes 4 bytes a weight, a quantized layer its packed bytes, and scales and zero points or
    codebooks; on top of all of them, while reading, one tensor as it is stored.

    Parameters
        directory: a Hugging Face model directory, or a GGUF file.
        engine: refq or refq_fast.
        activations: bool, whether inputs of linear layers, and queries, keys and values, are quantized as the files
            say; what transforms them stays.
    Returns
        config: dict, see Checkpoint.
        params: dict, Hugging Face name -> float32 array, or where the layer is quantized what read_layer gives: then
            `llama_forward` needs `operations(engine, config)`. Equal reassemblies are one object.
    Raises
        FileError: whatever open_checkpoint refuses; a weight or scale that is not finite; a scale of 0; what
            read_layer refuses.
    """
    if is_gguf(directory):
        return load_gguf(directory, engine)
    checkpoint, params, forms = open_checkpoint(directory), {}, {}
    shapes = llama_tensors(checkpoint.config)
    with progress(sum(int(np.prod(shape)) for shape in shapes.values()), "weights", "loading") as advance:
        for name, shape in shapes.items():
            layer = name.removesuffix(".weight")
            packed = layer in checkpoint.schemes and name.endswith(".weight")
            if packed:
                params[name] = _shared(read_layer(checkpoint, layer, shape, engine, activations), forms)
            else:
                params[name] = read_floats(checkpoint, name)
            advance(int(np.prod(shape)))
    return checkpoint.config | ({} if activations else {"attention_activations": None}), params


def operations(engine, config):
    """The namespace that a stored model runs with: what its weights ask for, and what its config says of attention.

    Queries and keys are rotated before they meet their grid, inputs transformed before they meet theirs.

    Parameters
        engine: refq or refq_fast.
        config: dict, as load_model gives it.
    Returns
        a namespace, as llama_forward and llama_decode take it.
    """
    ops = quantized_attention(engine, config.get("attention_activations"))
    ops = rotated_queries(ops) if config.get("rotated_queries") else ops
    ops = quantized_cache(ops) if config.get("cache_bits") else ops
    return transformed_inputs(quantized_inputs(ops))


def pieces(configs, length):
    """How many sequences of `length` positions, and how many positions of each, one call may take.

    The widest intermediate result stays below NUMBERS for each of the models; a function of shapes alone.
    """
    widest = max(
        max(config["vocab_size"], config["intermediate_size"], config["num_attention_heads"] * length)
        for config in configs
    )
    rows = max(1, NUMBERS // (length * widest))
    return rows, min(length, max(1, NUMBERS // widest))


def logits_in_pieces(engine, model, tokens, step, cache=None):
    """The cached decoder over many positions, `step` at a time, so that memory does not grow with their number.

    Parameters
        model: (config, params).
        tokens: int array (B, T), at the positions that follow those in `cache`.
        cache: None, or what an earlier call gave.
    Yields
        (logits, cache): logits float32 (B, at most step, V), and the cache after them.
    """
    config, params = model
    ops = operations(engine, config)
    for start in range(0, tokens.shape[1], step):
        logits, cache = engine.llama_decode(params, tokens[:, start : start + step], cache, config, ops)
        yield logits, cache


def _shared(weight, forms):
    """The weight, with one Reassembly for all that are equal: layers that share an input then share its transform."""
    if not isinstance(weight, ReassembledInput):
        return weight
    key = tuple(part.tobytes() for part in weight.reassembly)
    return weight._replace(reassembly=forms.setdefault(key, weight.reassembly))
