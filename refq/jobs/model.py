"""A model directory to the arrays an engine computes with, and its logits in pieces of bounded memory."""

import numpy as np

from refq.errors import CheckpointError
from refq.files.checkpoint import llama_tensors, open_checkpoint
from refq.jobs.progress import progress
from refq.jobs.stored import read_floats, read_weight
from refq.training.activations import QuantizedInput, quantized_inputs

NUMBERS = 2**22  # in the widest intermediate result of one call: 16 MB in float32


def load_model(directory, engine, activations=True):
    """Read a model directory, float or quantized, into the parameters that `llama_forward` takes.

    Memory: a float tensor takes 4 bytes a weight, a quantized layer its packed bytes, and scales and zero points or
    codebooks; on top of all of them, while reading, one tensor as it is stored.

    Parameters
        directory: a Hugging Face model directory.
        engine: refq or refq_fast.
        activations: bool, whether inputs of linear layers are quantized as the files say.
    Returns
        config: dict, see read_config.
        params: dict, Hugging Face name -> float32 array, or where the layer is quantized engine.PackedWeight or
            engine.CodebookWeight, and where its input is, a QuantizedInput of one: then `llama_forward` needs
            `quantized_inputs(engine)`.
    Raises
        FileError: whatever open_checkpoint refuses; a weight or scale that is not finite; a scale of 0; an input's
            scale below 0, or zero point off its grid.
    """
    checkpoint, params = open_checkpoint(directory), {}
    shapes = llama_tensors(checkpoint.config)
    with progress(sum(int(np.prod(shape)) for shape in shapes.values()), "weights", "loading") as advance:
        for name, shape in shapes.items():
            layer = name.removesuffix(".weight")
            packed = layer in checkpoint.schemes and name.endswith(".weight")
            params[name] = read_weight(checkpoint, layer, shape, engine) if packed else read_floats(checkpoint, name)
            if packed and activations:
                params[name] = _with_input(params[name], checkpoint, layer)
            advance(int(np.prod(shape)))
    return checkpoint.config, params


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
    (config, params), ops = model, quantized_inputs(engine)
    for start in range(0, tokens.shape[1], step):
        logits, cache = engine.llama_decode(params, tokens[:, start : start + step], cache, config, ops)
        yield logits, cache


def _with_input(weight, checkpoint, layer):
    inputs = checkpoint.schemes[layer].inputs
    if inputs is None or inputs.strategy == "token":
        return weight if inputs is None else QuantizedInput(weight, inputs.bits)
    name, other = f"{layer}.input_scale", f"{layer}.input_zero_point"
    scale, zero_point = read_floats(checkpoint, name), checkpoint.read(other).astype(np.int32)
    if not scale[0] > 0:
        raise CheckpointError(f"{checkpoint.tensors[name][0]}: tensor {name} holds {scale[0]}; it must be above 0")
    half = 2 ** (inputs.bits - 1)
    if not -half <= zero_point[0] < half:
        raise CheckpointError(
            f"{checkpoint.tensors[other][0]}: tensor {other} holds {zero_point[0]}; {-half}..{half - 1} is its grid"
        )
    return QuantizedInput(weight, inputs.bits, scale, zero_point)
