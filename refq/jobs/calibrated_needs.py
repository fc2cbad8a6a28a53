"""How much memory and disk a calibrated run takes."""

import numpy as np

from refq.files.checkpoint import llama_tensors
from refq.jobs.methods.recipe import blocks_together


def memory_needed(checkpoint, calibration, run):
    """Bytes, roughly: ourselves, the largest tensor, the blocks in work and what passes, Hessians, hidden states."""
    config = checkpoint.config
    together = min(blocks_together(calibration.steps), config["num_hidden_layers"])
    shapes, kinds = llama_tensors(config), {step.method for step in calibration.steps}
    block = sum(int(np.prod(shape)) for name, shape in shapes.items() if name.startswith("model.layers.0."))
    hessian = max(shape[1] for name, shape in shapes.items() if name.endswith("_proj.weight")) ** 2
    largest = max(int(np.prod(shape)) for shape in shapes.values())
    states = min(_state_bytes(checkpoint, calibration), run.states_memory)
    hidden, inner, copies = config["hidden_size"], config["intermediate_size"], 6
    passes = 12 * calibration.context * inner
    if any(step.phase == "group" for step in calibration.steps):
        # as it was measured: of weights that are trained there are gradients and moments too, and of what passes a tape
        copies = 13 if "tuning" in kinds else 4
        passes = calibration.context * together * (20 * hidden + 14 * inner)
    work = copies * block * together + 6 * hessian + passes
    return 350_000_000 + 4 * max(largest * 2, work) + states


def disk_needed(checkpoint, calibration, run):
    """Bytes at most: the blocks as floats, the output, and hidden states beyond their budget."""
    weights = 4 * sum(int(np.prod(info.shape)) for _, info in checkpoint.tensors.values())
    return int(2.5 * weights) + max(0, _state_bytes(checkpoint, calibration) - run.states_memory) + 2**24


def _state_bytes(checkpoint, calibration):
    if not calibration.needs_text:
        return 0
    chains = 2 + (blocks_together(calibration.steps) > 1)
    return 4 * chains * calibration.sequences * calibration.context * checkpoint.config["hidden_size"]
