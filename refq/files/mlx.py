"""MLX, its affine format: its part of config.json, and the names, types and shapes of its tensors.

A linear layer X of N outputs and K inputs, `bits` wide, is stored as

    X.weight  uint32 (N, K * bits / 32)     q + 2**(bits - 1), see pack_mlx
    X.scales  float (N, K / group_size)
    X.biases  float (N, K / group_size)

and is (q + 2**(bits - 1)) * scale + bias: a grid with zero point z where bias = -(z + 2**(bits - 1)) * scale. The
embedding may be stored so, too. Which layers are quantized their tensors say; config.json has one `quantization` for
all, and in it entries of layers that differ.
"""

from typing import NamedTuple

from refq.errors import FormatError
from refq.files.group_size import undivided
from refq.files.strict import shown

METHOD = "mlx"
MARK = "scales"  # of a layer that is quantized
BITS = (2, 3, 4, 5, 6, 8)
SIZES = (32, 64, 128)
EMBEDDING = "model.embed_tokens"
_FLOATS = ("F32", "F16", "BF16")


class Mlx(NamedTuple):
    """How one layer is quantized, always in groups."""

    bits: int
    group_size: int

    strategy, symmetric = "group", False
    inputs = transform = None  # they stay as they are


def quantization(schemes):
    """The `quantization` of config.json: that of the first layer, and of those that differ from it.

    Parameters
        schemes: layer name -> Mlx.
    """
    first, *_ = schemes.values()
    return _settings(first) | {name: _settings(one) for name, one in schemes.items() if one != first}


def parse_quantization_config(raw, shapes, path="quantization"):
    """How layers are quantized, if they are: that says their tensors.

    Parameters
        raw: the `quantization` of config.json.
        shapes: layer -> (N, K) of its weight, linear ones and the embedding.
        path: how messages call the file.
    Returns
        dict, layer name -> Mlx, in the order of shapes.
    Raises
        FormatError: a setting that we do not support, or an entry of no layer.
    """
    usual, own = _scheme(raw, f"{path}: quantization"), {}
    for key, entry in raw.items():
        if key in ("quant_method", "group_size", "bits", "mode"):
            continue
        if key not in shapes and key != "lm_head":  # tied to the embedding, it is no layer of its own
            raise FormatError(f"{path}: quantization has {shown(key)}, which is no layer of this model")
        own[key] = usual if isinstance(entry, bool) else _scheme(entry, f"{path}: quantization of {key}")
    return {name: own.get(name, usual) for name in shapes}


def packed_tensors(name, shape, scheme, path="quantization"):
    """The tensors that stand for `name`.weight.

    Parameters
        name: the layer.
        shape: (N, K) of its weight.
        scheme: its Mlx.
    Returns
        dict, tensor name -> (dtypes that may stand there, shape); our own files have the first dtype.
    Raises
        FormatError: group_size does not divide K.

    >>> packed_tensors("x", (8, 64), Mlx(4, 32))["x.weight"]
    (('U32',), (8, 8))
    """
    fault = misfit(shape, scheme)
    if fault:
        raise FormatError(f"{path}: {fault} of layer {name}")
    rows, columns = shape
    tensors = {"weight": (("U32",), (rows, columns * scheme.bits // 32))}
    tensors |= dict.fromkeys(("scales", "biases"), (_FLOATS, (rows, columns // scheme.group_size)))
    return {f"{name}.{suffix}": entry for suffix, entry in tensors.items()}


def misfit(shape, scheme):
    """Why a weight of this shape has no place in the format, in words that a name follows; None if it has."""
    return undivided(shape[1], scheme.group_size)


def _settings(scheme):
    return {"group_size": scheme.group_size, "bits": scheme.bits}


def _scheme(raw, where):
    if not isinstance(raw, dict):
        raise FormatError(f"{where} is {shown(raw)}; an object, true or false is needed")
    for key, allowed in (("bits", BITS), ("group_size", SIZES)):
        if type(raw.get(key)) is not int or raw[key] not in allowed:
            raise FormatError(f"{where} has {key} {shown(raw.get(key))}; one of {allowed} is needed")
    if raw.get("mode", "affine") != "affine":
        raise FormatError(f"{where} has mode {shown(raw['mode'])}; only 'affine' is supported")
    return Mlx(raw["bits"], raw["group_size"])
