"""A model as a command runs it: as it is stored, or with fewer bits in its activations or its head."""

import numpy as np

from refq.errors import UsageError
from refq.jobs.model import load_model
from refq.jobs.plan import row_chunks
from refq.models.decoder import check_cache_bits
from refq.training.activations import QuantizedInput
from refq.transforms.inputs import ReassembledInput, RotatedInput

GROUP = 32


def open_model(directory, engine, activations="stored", head_bits=None, cache_bits=None):
    """load_model, and what is asked for beside.

    Parameters
        directory, engine: as load_model takes them.
        activations: "stored", "off", or a number of bits, 2..16: as "off", but the input of every low-bit layer is
            quantized, a grid a token.
        head_bits: 2..8, or None. The head becomes a PackedWeight, symmetric, with a float16 scale for every GROUP
            weights of a row; for the whole row at 8 bits, or where GROUP does not divide it.
        cache_bits: 8, or None; keys and values are seen as LlamaDecoder keeps them, by what runs with `operations`.
    Returns
        config, params: as load_model.
    Raises
        as load_model; UsageError: a number of bits outside its range; GridError: another cache_bits.
    """
    if head_bits is not None and not 2 <= head_bits <= 8:
        raise UsageError(f"head_bits={head_bits}; 2..8 is needed")
    if activations not in ("stored", "off") and not (type(activations) is int and 2 <= activations <= 16):
        raise UsageError(f"activations={activations!r}; 'stored', 'off' or a number of bits, 2..16, is needed")
    config, params = load_model(directory, engine, activations == "stored")
    config |= {"cache_bits": check_cache_bits(cache_bits)}
    if head_bits is not None:
        head = params.get("lm_head.weight", params["model.embed_tokens.weight"])
        params["lm_head.weight"] = _packed(head, head_bits, engine)
    if type(activations) is int:
        low = engine.PackedWeight, engine.CodebookWeight, ReassembledInput, RotatedInput
        params |= {name: _on_grids(w, activations) for name, w in params.items() if isinstance(w, low)}
    return config, params


def _packed(w, bits, engine):
    limits, width = engine.integer_range(bits), w.shape[1]
    size, parts = width if bits == 8 or width % GROUP else GROUP, []
    for start, stop in row_chunks(w.shape):
        groups = engine.to_groups(w[start:stop], size)
        scale, zero_point = engine.minmax(groups, *limits, scale_dtype="float16")
        q = engine.quantize(groups, scale, zero_point, *limits).reshape(stop - start, width)
        parts.append((engine.pack_codes(q, bits), scale[..., 0], zero_point[..., 0]))
    return engine.PackedWeight(*map(np.concatenate, zip(*parts, strict=True)), bits)


def _on_grids(weight, bits):
    """Its input on a grid a token, once what transforms it is done."""
    if isinstance(weight, ReassembledInput | RotatedInput):
        return weight._replace(weight=_on_grids(weight.weight, bits))
    return QuantizedInput(weight, bits)
