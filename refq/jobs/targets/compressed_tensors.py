"""compressed-tensors directories; or, for columns in another order than the inputs, our own that can say it."""

import numpy as np

from refq.files.compressed_tensors import Scheme
from refq.files.quantization import quantization_config
from refq.files.reassembled import Reassembled
from refq.jobs.plan import row_chunks
from refq.jobs.targets import Target, rules


def target(any_order=False):
    """Target of compressed-tensors.

    any_order: bool; columns may be in another order than the inputs: as Reassembled, which refq alone reads.
    """

    def schemes(facts):
        return {layer: _scheme(one, any_order) for layer, one in facts.items()}

    def fault(facts, scheme):
        ordered = None if any_order else rules.columns_in_order(facts)
        return rules.first(ordered, rules.same_grid(facts, scheme), rules.on_the_grid(facts))

    return Target(schemes, _misfit, fault, _tensors, _config, (), "float32")


def _scheme(facts, any_order):
    size = None if facts.size == facts.shape[1] else facts.size
    inputs = facts.shape[1]
    transform = Reassembled(inputs, inputs) if any_order and not facts.ordered else None
    return Scheme(facts.bits, facts.symmetric, "group" if size else "channel", size, None, transform)


def _misfit(shape, scheme):
    return None


def _tensors(layer, scheme, grid, engine):
    rows, columns = len(grid.scale), grid.columns
    for chunk in row_chunks((rows, columns)):
        yield f"{layer}.weight_packed", engine.pack_compressed_tensors(grid.codes(*chunk), scheme.bits)
    yield f"{layer}.weight_scale", grid.scale
    yield f"{layer}.weight_shape", np.array((rows, columns), np.int64)
    if not scheme.symmetric:  # packed down the rows
        turned = np.ascontiguousarray(grid.zero_point.T)
        yield f"{layer}.weight_zero_point", engine.pack_compressed_tensors(turned, scheme.bits).T
    if scheme.transform:
        ones = np.ones(columns, np.int32)
        for part, index in (("members", grid.order), ("sizes", ones), ("divisors", ones)):
            yield f"{layer}.input_{part}", index


def _config(schemes, names):
    kept = [name for name in ("lm_head", *names) if name not in schemes]
    return {"quantization_config": quantization_config(schemes, kept)}
