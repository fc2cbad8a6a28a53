"""Layers of an ONNX graph, as MatMulNBits takes them: every width and zero point, in blocks of a power of two."""

import numpy as np

from refq.files.matmul_nbits import BITS, SIZES, Nbits
from refq.jobs.plan import row_chunks
from refq.jobs.targets import Target, rules


def target():
    """Target of ONNX Runtime."""

    def schemes(facts):
        return {layer: _scheme(one) for layer, one in facts.items()}

    return Target(schemes, lambda shape, scheme: None, _fault, _tensors, None)


def _scheme(facts):
    """The largest blocks that divide its groups; those of a row with one scale repeat it, and the last is filled up."""
    bits, columns = min(bits for bits in BITS if bits >= facts.bits), facts.shape[1]
    size = _largest(facts.size)
    if facts.size == columns:
        return Nbits(bits, None, facts.symmetric, size or next((n for n in SIZES if n >= columns), SIZES[-1]))
    size = size or _largest(columns)  # the latter for a new grid
    return Nbits(bits, size, facts.symmetric, size or SIZES[-1])


def _largest(size):
    """The largest block of which so many weights are whole ones, or None."""
    return next((n for n in SIZES[::-1] if size % n == 0), None)


def _fault(facts, scheme):
    whole = facts.size == facts.shape[1] or _largest(facts.size)
    size = None if whole else f"its groups of {facts.size} are no multiple of {SIZES[0]}"
    return rules.first(rules.columns_in_order(facts), size, rules.same_grid(facts, scheme), rules.on_the_grid(facts))


def _tensors(layer, scheme, grid, engine):
    blocks = -(-grid.columns // scheme.block_size)
    scale, zero_point = (np.repeat(x, blocks // x.shape[1], axis=1) for x in (grid.scale, grid.zero_point))
    for chunk in row_chunks((len(scale), grid.columns)):
        packed = engine.pack_matmul_nbits(grid.codes(*chunk), scheme.bits, scheme.block_size)
        yield f"{layer}.weight_Q{scheme.bits}", packed
    yield f"{layer}.weight_scales", scale
    if not scheme.symmetric:
        yield f"{layer}.weight_zero_points", engine.pack_matmul_nbits_zeros(zero_point, scheme.bits)
