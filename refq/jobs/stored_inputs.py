"""A quantized layer of a checkpoint as it runs: its weight, the grid of its input, and what comes before that."""

import numpy as np

from refq.errors import CheckpointError
from refq.files.mlx import EMBEDDING
from refq.files.reassembled import Outliers, Reassembled
from refq.jobs.stored import read_codes, read_floats, read_weight, weight_rows
from refq.training.activations import QuantizedInput
from refq.transforms.inputs import MixedWeight, ReassembledInput, RotatedInput
from refq.transforms.reassembly import Reassembly


def read_layer(checkpoint, layer, shape, engine, activations=True):
    """The weight of a layer, with all that `operations` does for it.

    Parameters
        checkpoint: see open_checkpoint.
        layer: a name among checkpoint.schemes.
        shape: of its weight in the float model.
        engine: refq or refq_fast.
        activations: bool; False leaves its input without a grid.
    Returns
        what read_weight gives; in a QuantizedInput if its input has a grid; and that in a ReassembledInput or
        RotatedInput. Or MixedWeight; engine.PackedWeight without activations.
    Raises
        FileError: what read_weight refuses; an input's scale below 0, or zero point off its grid; a reassembly that
            breaks a rule of reassemble_input.
    """
    transform = checkpoint.schemes[layer].transform
    if activations and isinstance(transform, Outliers):
        return MixedWeight(*read_codes(checkpoint, layer, shape, engine), float(transform.threshold))
    if layer == EMBEDDING:  # it is looked up, not multiplied
        return np.concatenate([rows for _, rows in weight_rows(checkpoint, layer, shape, engine)])
    weight = read_weight(checkpoint, layer, shape, engine)
    if activations:
        weight = _on_grid(weight, checkpoint, layer)
    if isinstance(transform, Reassembled):
        return ReassembledInput(weight, read_reassembly(checkpoint, layer, shape[1]))
    return weight if transform is None or isinstance(transform, Outliers) else RotatedInput(weight, transform.stride)


def read_reassembly(checkpoint, layer, channels):
    """Reassembly of a layer whose input has so many channels in the float model.

    Raises
        CheckpointError: a member that is no channel, a size or divisor below 1, sizes that are not all members.
    """
    members = _index(checkpoint, f"{layer}.input_members", 0, channels - 1)
    sizes = _index(checkpoint, f"{layer}.input_sizes", 1, len(members))
    divisors = _index(checkpoint, f"{layer}.input_divisors", 1, 2**31 - 1)
    if sizes.sum(dtype=np.int64) != len(members):
        name = f"{layer}.input_sizes"
        raise CheckpointError(
            f"{checkpoint.tensors[name][0]}: tensor {name} adds up to {sizes.sum(dtype=np.int64)}; "
            f"the {len(members)} members are needed"
        )
    return Reassembly(members, sizes, divisors)


def _index(checkpoint, name, low, high):
    values = checkpoint.read(name)
    wrong = np.flatnonzero((values < low) | (values > high))
    if wrong.size:
        raise CheckpointError(
            f"{checkpoint.tensors[name][0]}: tensor {name}[{wrong[0]}] is {values[wrong[0]]}; {low}..{high} is needed"
        )
    return values


def _on_grid(weight, checkpoint, layer):
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
