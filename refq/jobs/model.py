"""A model directory to the arrays an engine computes with, and its logits in pieces of bounded memory."""

import numpy as np

from refq.errors import CheckpointError, FormatError
from refq.files.checkpoint import check_finite, llama_tensors, open_checkpoint
from refq.files.safetensors import as_float32
from refq.jobs.progress import progress
from refq.training.activations import QuantizedInput, quantized_inputs

CODES = 2**20  # unpacked at a time
NUMBERS = 2**22  # in the widest intermediate result of one call: 16 MB in float32


def load_model(directory, engine, activations=True):
    """Read a model directory, float or compressed-tensors, into the parameters that `llama_forward` takes.

    Memory: a float tensor takes 4 bytes a weight, a quantized layer its packed bytes, scales and zero points; on top
    of all of them, while reading, one tensor as it is stored.

    Parameters
        directory: a Hugging Face model directory.
        engine: module with pack_codes, unpack_compressed_tensors and PackedWeight: refq or refq_fast.
        activations: bool, whether inputs of linear layers are quantized as the files say.
    Returns
        config: dict, see read_config.
        params: dict, Hugging Face name -> float32 array, or engine.PackedWeight where the layer is quantized, and
            where its input is, a QuantizedInput of one: then `llama_forward` needs `quantized_inputs(engine)`.
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
            params[name] = _packed(checkpoint, layer, shape, engine) if packed else _float(checkpoint, name)
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


def _float(checkpoint, name):
    return as_float32(check_finite(checkpoint.read(name), name, checkpoint.tensors[name][0]))


def _packed(checkpoint, layer, shape, engine):
    bits, name = checkpoint.schemes[layer].bits, f"{layer}.weight_packed"
    step, pieces = max(1, CODES // shape[1]), []
    for start in range(0, shape[0], step):
        words = checkpoint.read_rows(name, start, min(start + step, shape[0]))
        codes = _unpack(words, bits, shape[1], engine, f"{checkpoint.tensors[name][0]}: tensor {name}")
        pieces.append(engine.pack_codes(codes, bits))
    scale, zero_point = read_grid(checkpoint, layer, shape[0], engine)
    return engine.PackedWeight(np.concatenate(pieces), scale, zero_point, bits)


def _with_input(weight, checkpoint, layer):
    inputs = checkpoint.schemes[layer].inputs
    if inputs is None or inputs.strategy == "token":
        return weight if inputs is None else QuantizedInput(weight, inputs.bits)
    name, other = f"{layer}.input_scale", f"{layer}.input_zero_point"
    scale, zero_point = _float(checkpoint, name), checkpoint.read(other).astype(np.int32)
    if not scale[0] > 0:
        raise CheckpointError(f"{checkpoint.tensors[name][0]}: tensor {name} holds {scale[0]}; it must be above 0")
    half = 2 ** (inputs.bits - 1)
    if not -half <= zero_point[0] < half:
        raise CheckpointError(
            f"{checkpoint.tensors[other][0]}: tensor {other} holds {zero_point[0]}; {-half}..{half - 1} is its grid"
        )
    return QuantizedInput(weight, inputs.bits, scale, zero_point)


def read_grid(checkpoint, layer, rows, engine):
    """scale float32, finite and not 0, and zero_point int32 of a quantized layer, both (rows, groups)."""
    scheme, name = checkpoint.schemes[layer], f"{layer}.weight_scale"
    scale = _float(checkpoint, name)
    if not scale.all():
        raise CheckpointError(
            f"{checkpoint.tensors[name][0]}: tensor {name} holds 0; every scale must be another number"
        )
    zero_point, name = np.zeros(1, np.int32), f"{layer}.weight_zero_point"
    if not scheme.symmetric and scheme.strategy == "tensor":
        zero_point = checkpoint.read(name).astype(np.int32)
    elif not scheme.symmetric:  # packed down the rows
        words = np.ascontiguousarray(checkpoint.read(name).T)
        zero_point = _unpack(words, scheme.bits, rows, engine, f"{checkpoint.tensors[name][0]}: tensor {name}").T
    shape = np.broadcast_shapes(scale.shape, (rows, 1))
    return (np.ascontiguousarray(np.broadcast_to(value, shape)) for value in (scale, zero_point))


def _unpack(words, bits, length, engine, where):
    try:
        return engine.unpack_compressed_tensors(words, bits, length)
    except FormatError as error:
        raise FormatError(f"{where}: {error}") from None
