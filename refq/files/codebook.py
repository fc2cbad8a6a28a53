"""refq-codebook: its part of config.json, and the names, types and shapes of its tensors.

A linear layer X of N outputs and K inputs, `bits` wide, is stored instead of `X.weight` as

    X.weight_index     uint8 (N, ceil(K * bits / 8))           indices as numbers, a little-endian bit stream a row
    X.weight_codebook  float16 (N or 1, groups, 2**bits)       the numbers that they stand for

No public format has a table for each group of a weight. This one is our own, under a name that no other program knows,
in refq-codebook.safetensors: without a model.safetensors nothing that would misread it finds a model here.
"""

import re
from typing import NamedTuple

from refq.errors import FormatError
from refq.files.strict import shown

METHOD = "refq-codebook"
STEM = (
    METHOD  # of the weight files: transformers skips a method that it does not know, and would load model.safetensors
)
VERSION = 1
_KEYS = {"quant_method", "format_version", "bits", "group_size", "scheme", "ignore"}
_NAME = re.compile(r"[a-z0-9_]{1,64}")


class Codebooks(NamedTuple):
    """How one linear layer is quantized: strategy "tensor", "channel" or "group"; group_size None unless "group".

    made_by: the scheme that fitted the codebooks; what they mean does not depend on it.
    """

    bits: int
    strategy: str
    group_size: int | None
    made_by: str

    inputs = transform = None  # they stay as they are


def quantization_config(scheme, ignore):
    """The `quantization_config` of config.json; `parse_quantization_config` reads it back.

    Parameters
        scheme: Codebooks; a layer whose inputs its group_size does not divide has a codebook a channel.
        ignore: list of module names that stay float.
    """
    head = {"quant_method": METHOD, "format_version": VERSION, "bits": scheme.bits}
    return head | {"group_size": scheme.group_size or scheme.strategy, "scheme": scheme.made_by, "ignore": list(ignore)}


def parse_quantization_config(raw, shapes, path="quantization_config"):
    """Which linear layers are quantized, and how: all that are not in `ignore`.

    Parameters
        raw: the `quantization_config` of config.json.
        shapes: linear layer -> (N, K) of its weight, lm_head among them.
        path: how messages call the file.
    Returns
        dict, layer name -> Codebooks, in the order of shapes.
    Raises
        FormatError: another method or version, an unknown key, a setting that we do not support, or a wrong name.
    """
    for key, needed in (("quant_method", METHOD), ("format_version", VERSION)):
        if type(raw.get(key)) is not type(needed) or raw[key] != needed:
            raise FormatError(f"{path}: {key} is {shown(raw.get(key))}; {needed!r} is needed")
    if raw.keys() != _KEYS:
        raise FormatError(f"{path}: the keys are {shown(sorted(raw))}; {', '.join(sorted(_KEYS))} are needed")
    bits, size, made_by = raw["bits"], raw["group_size"], raw["scheme"]
    if type(bits) is not int or not 1 <= bits <= 8:
        raise FormatError(f"{path}: bits is {shown(bits)}; an integer of 1..8 is needed")
    if size not in ("channel", "tensor") and (type(size) is not int or not 1 <= size <= 2**24):
        raise FormatError(f"{path}: group_size is {shown(size)}; 'channel', 'tensor' or a positive integer is needed")
    if not isinstance(made_by, str) or not _NAME.fullmatch(made_by):
        raise FormatError(f"{path}: scheme is {shown(made_by)}; a name of letters, digits and underscores is needed")
    ignored = _names(raw["ignore"], shapes, path)
    return {name: scheme_of(bits, size, made_by, shape[1]) for name, shape in shapes.items() if name not in ignored}


def scheme_of(bits, size, made_by, inputs):
    """The Codebooks of a layer with so many inputs: one a channel where the group size does not divide them.

    >>> scheme_of(4, 128, "kmeans", 320)
    Codebooks(bits=4, strategy='channel', group_size=None, made_by='kmeans')
    """
    if isinstance(size, str) or inputs % size:
        return Codebooks(bits, size if size == "tensor" else "channel", None, made_by)
    return Codebooks(bits, "group", size, made_by)


def packed_tensors(name, shape, scheme, path="quantization_config"):
    """The tensors that stand for `name`.weight.

    Parameters
        name: the layer.
        shape: (N, K) of its weight.
        scheme: its Codebooks.
    Returns
        dict, tensor name -> (dtypes that may stand there, shape).

    >>> packed_tensors("x", (5, 16), Codebooks(3, "group", 8, "kmeans"))
    {'x.weight_index': (('U8',), (5, 6)), 'x.weight_codebook': (('F16',), (5, 2, 8))}
    """
    rows, columns = shape
    books, groups = 1 if scheme.strategy == "tensor" else rows, columns // (scheme.group_size or columns)
    index = ("U8",), (rows, -(-columns * scheme.bits // 8))
    return {f"{name}.weight_index": index, f"{name}.weight_codebook": (("F16",), (books, groups, 2**scheme.bits))}


def _names(ignore, shapes, path):
    if not isinstance(ignore, list) or not all(isinstance(name, str) for name in ignore):
        raise FormatError(f"{path}: ignore is {shown(ignore)}; a list of names is needed")
    for name in ignore:
        if name not in shapes and name != "lm_head":  # tied to the embedding, it is no layer of its own
            raise FormatError(f"{path}: ignore has {shown(name)}, which is no linear layer of this model")
    if len(set(ignore)) < len(ignore):
        raise FormatError(f"{path}: ignore names a layer twice")
    return set(ignore)
