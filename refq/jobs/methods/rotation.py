"""QuaRot's merge: the float model in rotated channels, before anything else is done to it."""

from typing import NamedTuple

import numpy as np

from refq.jobs.methods.block import PROJECTIONS, Block
from refq.transforms.inputs import RotatedInput
from refq.transforms.rotation import rotated_block, rotated_ends


class Rotation(NamedTuple):
    """seed: of the signs.  online: o_proj and down_proj have inputs that are rotated at run time, over all channels."""

    seed: int = 0
    online: bool = True


def rotation(params, part, config, how):
    """One block, or what stands around the blocks, rotated by a Hadamard matrix with random signs.

    Parameters
        params: dict of this part alone.
        part: the number of a block; None for embedding, last norm and head.
        config: of the model.
        how: Rotation.
    Returns
        params: dict of arrays.
        inputs: layer -> stride of the rotation of its input.
    """
    signs = random_signs(config["hidden_size"], how.seed)
    if part is None:
        return rotated_ends(params, signs), {}
    found, inputs = rotated_block(params, part, config, signs, how.online), {}
    for layer in map(Block(part, {}).name, PROJECTIONS):
        weight = found[f"{layer}.weight"]
        if isinstance(weight, RotatedInput):
            found[f"{layer}.weight"], inputs[layer] = weight
    return found, inputs


def random_signs(width, seed):
    """1 or -1 of each channel: the highest bits of PCG64, whose raw numbers no version of NumPy changes."""
    raw = np.random.PCG64(seed).random_raw(width)
    return np.where(raw >> np.uint64(63), np.float32(-1), np.float32(1))
