"""QuaRot's merge: the float model in rotated channels, before anything else is done to it."""

from typing import NamedTuple

import numpy as np

from refq.jobs.methods.block import Block
from refq.transforms.rotation import ONLINE, rotated_block, rotated_ends, rotated_input


class Rotation(NamedTuple):
    """How a model is rotated.

    seed: of the signs; that of the run is added to it.
    online: o_proj and down_proj, where quantized, have inputs that are rotated at run time.
    """

    seed: int = 0
    online: bool = True


def rotation(params, part, config, schemes, how):
    """One block, or what stands around the blocks, rotated by a Hadamard matrix with random signs.

    Parameters
        params: dict of this part alone.
        part: the number of a block; None for embedding, last norm and head.
        config: of the model.
        schemes: dict, layer name -> Scheme of every layer that is quantized; the inputs of others stay as they are.
        how: Rotation.
    Returns
        params: dict of arrays.
        inputs: layer -> stride of the rotation of its input.
    """
    signs = random_signs(config["hidden_size"], how.seed)
    if part is None:
        return rotated_ends(params, signs), {}
    found, inputs = rotated_block(params, part, config, signs), {}
    for layer in map(Block(part, {}).name, ONLINE):
        if how.online and layer in schemes:
            found[f"{layer}.weight"], inputs[layer] = rotated_input(found, layer, config["head_dim"])
    return found, inputs


def random_signs(width, seed):
    """1 or -1 of each channel: the highest bits of PCG64, whose raw numbers no version of NumPy changes."""
    raw = np.random.PCG64(seed).random_raw(width)
    return np.where(raw >> np.uint64(63), np.float32(-1), np.float32(1))
