"""GPTQ: its part of config.json, and the names, types and shapes of its tensors.

A linear layer X of N outputs and K inputs, `bits` wide, is stored instead of `X.weight` as

    X.qweight  int32 (K * bits / 32, N)        q + 2**(bits - 1), see pack_gptq
    X.qzeros   int32 (groups, N * bits / 32)   zero points, see pack_gptq_zeros
    X.scales   float16 (groups, N)
    X.g_idx    int32 (K,)                      the group of each input

and is (q - zero_point) * scale of the group. The same object stands in config.json and in quantize_config.json.
Which layers are quantized their tensors say.
"""

import re
from typing import NamedTuple

from refq.errors import FormatError
from refq.files.group_size import parse_group_size, undivided
from refq.files.strict import shown

METHOD = "gptq"
MARK = "qweight"  # of a layer that is quantized
BITS = (2, 3, 4, 8)
VERSIONS = {"gptq": 1, "gptq_v2": 2}
_FLOATS = ("F16", "F32", "BF16")
# settings of which one value is a layout that we know; a missing key is that value
_FIXED = {"pack_dtype": ("int32",), "is_marlin_format": (False,), "quant_method": (METHOD,), "method": (METHOD,)}
_FIXED |= {"adapter": (None,), "lm_head": (True, False), "desc_act": (True, False), "sym": (True, False)}


class Gptq(NamedTuple):
    """How one linear layer is quantized: group_size None for a scale a row.

    symmetric: what the file says; the zero points stand there all the same.
    version: of the zero points, 1 or 2.
    """

    bits: int
    symmetric: bool
    group_size: int | None
    version: int

    strategy = property(lambda scheme: "group" if scheme.group_size else "channel")
    inputs = transform = None  # they stay as they are


def quantization_config(scheme, blocks, kept=(), lm_head=False):
    """The `quantization_config` of config.json, and all of quantize_config.json.

    Parameters
        scheme: Gptq, of all layers that are quantized.
        blocks: names of the layers that are quantized, within a block: "self_attn.q_proj"; transformers reads them.
        kept: likewise of those that stay float; GPTQModel reads them.
        lm_head: bool, whether that is quantized too.
    """
    names = {version: name for name, version in VERSIONS.items()}
    head = {"quant_method": METHOD, "bits": scheme.bits, "group_size": scheme.group_size or -1, "desc_act": False}
    head |= {"sym": scheme.symmetric, "checkpoint_format": names[scheme.version], "pack_dtype": "int32"}
    head |= {"lm_head": lm_head, "true_sequential": True}
    return head | {"modules_in_block_to_quantize": [[name] for name in blocks], **left_out(kept)}


def left_out(kept):
    """What tells GPTQModel of layers that stay float, by the ends of their names; nothing where there are none.

    >>> left_out(["up_proj"])
    {'dynamic': {'-:.*up_proj': {}}}
    """
    return {"dynamic": {f"-:.*{re.escape(name)}": {} for name in kept}} if kept else {}


def parse_quantization_config(raw, shapes, path="quantization_config"):
    """How linear layers are quantized, if they are: that says their tensors.

    Parameters
        raw: the `quantization_config` of config.json.
        shapes: linear layer -> (N, K) of its weight.
        path: how messages call the file.
    Returns
        dict, layer name -> Gptq, in the order of shapes.
    Raises
        FormatError: a setting of the wrong type, or one that we do not support.
    """
    for key, values in _FIXED.items():
        value = raw.get(key, values[0])
        if (type(value), value) not in [(type(one), one) for one in values]:
            wanted = " or ".join(map(repr, values))
            raise FormatError(f"{path}: {key} is {shown(value)}; {wanted} is needed")
    bits = raw.get("bits")
    if type(bits) is not int or bits not in BITS:
        raise FormatError(f"{path}: bits is {shown(bits)}; one of {', '.join(map(str, BITS))} is needed")
    size = parse_group_size(raw, path)
    overrides = raw.get("dynamic") or {}
    if not isinstance(overrides, dict) or not all(key.startswith("-:") for key in overrides):
        raise FormatError(f"{path}: dynamic is {shown(overrides)}; one grid for all layers is supported")
    return dict.fromkeys(shapes, Gptq(bits, raw.get("sym", True), size, _version(raw, path)))


def packed_tensors(name, shape, scheme, path="quantization_config"):
    """The tensors that stand for `name`.weight.

    Parameters
        name: the layer.
        shape: (N, K) of its weight.
        scheme: its Gptq.
    Returns
        dict, tensor name -> (dtypes that may stand there, shape); our own files have the first dtype.
    Raises
        FormatError: group_size does not divide K, or codes do not fill whole words.

    >>> packed_tensors("x", (8, 16), Gptq(4, True, None, 1))["x.qweight"]
    (('I32',), (2, 8))
    """
    rows, columns = shape
    fault = misfit(shape, scheme)
    if fault:
        raise FormatError(f"{path}: {fault} of layer {name}")
    groups, bits = columns // (scheme.group_size or columns), scheme.bits
    tensors = {"qweight": (("I32",), (columns * bits // 32, rows)), "qzeros": (("I32",), (groups, rows * bits // 32))}
    tensors |= {"scales": (_FLOATS, (groups, rows)), "g_idx": (("I32",), (columns,))}
    return {f"{name}.{suffix}": entry for suffix, entry in tensors.items()}


def misfit(shape, scheme):
    """Why a weight of this shape has no place in the format, in words that a name follows; None if it has."""
    (rows, columns), whole = shape, {2: 16, 3: 32, 4: 8, 8: 4}[scheme.bits]
    found = undivided(columns, scheme.group_size)
    for length, what in ((columns, "inputs"), (rows, "outputs")):
        if length % whole:
            found = found or f"{whole}, the {scheme.bits}-bit codes of whole words, does not divide the {length} {what}"
    return found


def _version(raw, path):
    """By checkpoint_format, or by `format`, its newer name; both may stand there."""
    said = {
        raw[key] if isinstance(raw[key], str) else repr(raw[key])
        for key in ("checkpoint_format", "format")
        if key in raw
    }
    if len(said) > 1 or not said <= VERSIONS.keys():
        raise FormatError(f"{path}: checkpoint_format is {shown(sorted(said))}; 'gptq' or 'gptq_v2' is needed")
    return VERSIONS[said.pop() if said else "gptq"]
