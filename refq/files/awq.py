"""AWQ, its GEMM layout: its part of config.json, and the names, types and shapes of its tensors.

A linear layer X of N outputs and K inputs, 4 bits wide, is stored instead of `X.weight` as

    X.qweight  int32 (K, N / 8)         q + 8, see pack_awq
    X.qzeros   int32 (groups, N / 8)    zero_point + 8, likewise
    X.scales   float16 (groups, N)

and is (q - zero_point) * scale. Which layers are quantized their tensors say.
"""

from typing import NamedTuple

from refq.errors import FormatError
from refq.files.gptq import left_out
from refq.files.group_size import parse_group_size, undivided
from refq.files.strict import shown

METHOD = "awq"
MARK = "qweight"  # of a layer that is quantized
BITS = (4,)
_FLOATS = ("F16", "F32", "BF16")
_OUTPUTS = 8  # a word


class Awq(NamedTuple):
    """How one linear layer is quantized: group_size None for a scale a row."""

    group_size: int | None

    bits, symmetric = 4, False
    strategy = property(lambda scheme: "group" if scheme.group_size else "channel")
    inputs = transform = None  # they stay as they are


def quantization_config(scheme, kept):
    """The `quantization_config` of config.json.

    Parameters
        scheme: Awq, of all layers that are quantized.
        kept: list of module names that stay float, lm_head among them.
    """
    head = {"quant_method": METHOD, "bits": 4, "group_size": scheme.group_size or -1, "zero_point": True}
    head |= {"version": "gemm", "modules_to_not_convert": list(kept) or None}
    return head | left_out([name for name in kept if name != "lm_head"])


def parse_quantization_config(raw, shapes, path="quantization_config"):
    """How linear layers are quantized, if they are: that says their tensors.

    Parameters
        raw: the `quantization_config` of config.json.
        shapes: linear layer -> (N, K) of its weight.
        path: how messages call the file.
    Returns
        dict, layer name -> Awq, in the order of shapes.
    Raises
        FormatError: a setting of the wrong type, or one that we do not support.
    """
    for key, needed in (("quant_method", METHOD), ("bits", 4), ("zero_point", True)):
        if type(raw.get(key)) is not type(needed) or raw[key] != needed:
            raise FormatError(f"{path}: {key} is {shown(raw.get(key))}; {needed!r} is needed")
    version, kept = raw.get("version", "gemm"), raw.get("modules_to_not_convert")
    if not isinstance(version, str) or version.lower() != "gemm":
        raise FormatError(f"{path}: version is {shown(version)}; 'gemm' is needed")
    scheme = Awq(parse_group_size(raw, path))
    if kept is not None and not (isinstance(kept, list) and all(isinstance(name, str) for name in kept)):
        raise FormatError(f"{path}: modules_to_not_convert is {shown(kept)}; null or a list of names is needed")
    return dict.fromkeys(shapes, scheme)


def packed_tensors(name, shape, scheme, path="quantization_config"):
    """The tensors that stand for `name`.weight.

    Parameters
        name: the layer.
        shape: (N, K) of its weight.
        scheme: its Awq.
    Returns
        dict, tensor name -> (dtypes that may stand there, shape); our own files have the first dtype.
    Raises
        FormatError: group_size does not divide K, or 8 not N.

    >>> packed_tensors("x", (8, 16), Awq(None))["x.qweight"]
    (('I32',), (16, 1))
    """
    fault = misfit(shape, scheme)
    if fault:
        raise FormatError(f"{path}: {fault} of layer {name}")
    rows, columns = shape
    groups = columns // (scheme.group_size or columns)
    tensors = {"qweight": (("I32",), (columns, rows // _OUTPUTS)), "qzeros": (("I32",), (groups, rows // _OUTPUTS))}
    tensors["scales"] = (_FLOATS, (groups, rows))
    return {f"{name}.{suffix}": entry for suffix, entry in tensors.items()}


def misfit(shape, scheme):
    """Why a weight of this shape has no place in the format, in words that a name follows; None if it has."""
    rows, columns = shape
    whole = None if rows % _OUTPUTS == 0 else f"8, the codes of a word, does not divide the {rows} outputs"
    return undivided(columns, scheme.group_size) or whole
