"""AWQ directories of the GEMM layout."""

import numpy as np

from refq.files import awq
from refq.files.awq import Awq
from refq.jobs.targets import Target, rules

ROWS = 256  # unpacked at a time; a multiple of the outputs of a word


def target():
    """Target of AWQ."""

    def schemes(facts):
        _, size = rules.one_grid(facts, awq.BITS)
        return dict.fromkeys(facts, Awq(size))

    return Target(schemes, awq.misfit, _fault, _tensors, _config, (), "float16")


def _fault(facts, scheme):
    found = rules.columns_in_order(facts), rules.same_grid(facts, scheme), rules.on_the_grid(facts)
    return rules.first(*found, rules.exact_in_float16(facts))


def _tensors(layer, scheme, grid, engine):
    rows = len(grid.scale)
    words = [engine.pack_awq(grid.codes(start, min(start + ROWS, rows))) for start in range(0, rows, ROWS)]
    yield f"{layer}.qweight", np.concatenate(words, axis=1)
    yield f"{layer}.qzeros", engine.pack_awq(grid.zero_point)
    yield f"{layer}.scales", grid.scale.T.astype(np.float16)


def _config(schemes, names):
    [scheme] = set(schemes.values())
    kept = [name for name in ("lm_head", *names) if name not in schemes]
    return {"quantization_config": awq.quantization_config(scheme, kept)}
