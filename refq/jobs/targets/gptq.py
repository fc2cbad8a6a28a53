"""GPTQ directories, of zero points of version 1 or 2."""

import numpy as np

from refq.errors import UsageError
from refq.files import gptq
from refq.files.gptq import Gptq
from refq.jobs.plan import row_chunks
from refq.jobs.targets import Target, rules


def target(version):
    """Target of `checkpoint_format` "gptq" (1) or "gptq_v2" (2)."""

    def schemes(facts):
        bits, size = rules.one_grid(facts, gptq.BITS)
        symmetric = all(one.symmetric for one in facts.values())
        return dict.fromkeys(facts, Gptq(bits, symmetric, size, version))

    return Target(schemes, gptq.misfit, _fault, _tensors, _config, ("quantize_config.json",), "float16", version == 1)


def _fault(facts, scheme):
    wraps = scheme.version == 1 and facts.lowest == -(2 ** (scheme.bits - 1))
    text = f"a zero point {facts.lowest} is stored in version 1 as {2**scheme.bits - 1}, which readers take in two ways"
    found = rules.columns_in_order(facts), rules.same_grid(facts, scheme), rules.on_the_grid(facts)
    return rules.first(*found, rules.exact_in_float16(facts), f"{text}; --to gptq_v2 holds it" if wraps else None)


def _tensors(layer, scheme, grid, engine):
    rows, columns = len(grid.scale), grid.columns
    words = [engine.pack_gptq(grid.codes(*chunk), scheme.bits) for chunk in row_chunks((rows, columns))]
    yield f"{layer}.qweight", np.concatenate(words, axis=1)
    yield f"{layer}.qzeros", engine.pack_gptq_zeros(grid.zero_point, scheme.bits, scheme.version)
    yield f"{layer}.scales", grid.scale.T.astype(np.float16)
    yield f"{layer}.g_idx", np.arange(columns, dtype=np.int32) // (columns // grid.scale.shape[1])


def _config(schemes, names):
    inside = {name: name.split(".", 3)[3] for name in names}  # of the blocks
    blocks = list(dict.fromkeys(inside[name] for name in names if name in schemes))
    for name in names:
        if name not in schemes and inside[name] in blocks:
            raise UsageError(f"layer {name} stays float, and not that of all blocks; a GPTQ file has equal blocks")
    kept = dict.fromkeys(inside[name] for name in names if name not in schemes)
    [scheme] = set(schemes.values())
    return {"quantization_config": gptq.quantization_config(scheme, blocks, kept, "lm_head" in schemes)}
