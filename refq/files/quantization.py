"""The formats of quantized layers, told apart by `quant_method`: what all other files ask about any of them."""

from refq.errors import FormatError
from refq.files import awq, codebook, compressed_tensors, gptq, matmul_nbits, mlx, reassembled
from refq.files.reassembled import Attention
from refq.files.shards import STEM
from refq.files.strict import shown

_BY_METHOD = {form.METHOD: form for form in (codebook, reassembled, gptq, awq, mlx)}
_BY_SCHEME = {
    codebook.Codebooks: codebook,
    gptq.Gptq: gptq,
    awq.Awq: awq,
    mlx.Mlx: mlx,
    matmul_nbits.Nbits: matmul_nbits,
}
# formats whose tensors say which layers are quantized
_MARKS = {kind: form.MARK for kind, form in _BY_SCHEME.items() if form is not codebook}


def quantization_config(schemes, ignore, attention=Attention()):  # noqa: B008 (immutable)
    """The `quantization_config` of config.json, in the most public format that can say it.

    Parameters
        schemes: layer name -> Scheme of compressed_tensors, or Codebooks of codebook.
        ignore: list of module names that stay float.
        attention: Attention of reassembled.
    Returns
        dict, ready for JSON; `parse_quantization_config` and `attention_of` read it back.
    """
    if any(isinstance(scheme, codebook.Codebooks) for scheme in schemes.values()):
        # a group size, where there is one, says which layers fall back
        widest = max(schemes.values(), key=lambda scheme: scheme.strategy == "group")
        return codebook.quantization_config(widest, ignore)
    by_scheme = {}
    for layer, scheme in schemes.items():
        by_scheme.setdefault(scheme._replace(transform=None), []).append(layer)
    # the scheme of most layers is that of every Linear; an exact name goes before it
    first, *others = sorted(by_scheme.items(), key=lambda item: -len(item[1]))
    raw = compressed_tensors.quantization_config([(first[0], ["Linear"]), *others], ignore)
    transforms = {layer: scheme.transform for layer, scheme in schemes.items() if scheme.transform}
    if transforms or attention != Attention():
        return reassembled.quantization_config(raw, transforms, attention)
    return raw


def parse_quantization_config(raw, shapes, path="quantization_config"):
    """Which linear layers are quantized, and how.

    Parameters
        raw: the `quantization_config` of config.json.
        shapes: linear layer -> (N, K) of its weight, lm_head among them unless it is tied.
        path: how messages call the file.
    Returns
        dict, layer name -> Scheme of compressed_tensors, Codebooks, Gptq, Awq or Mlx, in the order of shapes.
    Raises
        FormatError: another method, or a setting we do not support.
    """
    if _method(raw) in _BY_METHOD:
        return _BY_METHOD[_method(raw)].parse_quantization_config(raw, shapes, path)
    return compressed_tensors.parse_quantization_config(raw, list(shapes), path)


def quantized_embeddings(raw):
    """Names of embeddings that a format may have quantized, by the `quantization_config` of config.json, or None."""
    name = getattr(_BY_METHOD.get(_method(raw)), "EMBEDDING", None)
    return [name] if name else []


def quantized_layers(schemes, found, path="quantization_config"):
    """Of parsed schemes those of layers that are quantized, where only the tensors say which these are.

    Parameters
        schemes: layer name -> scheme, of parse_quantization_config.
        found: names of all tensors.
    """
    marks = {name: _MARKS.get(type(scheme)) for name, scheme in schemes.items()}
    kept = {name: schemes[name] for name, mark in marks.items() if mark is None or f"{name}.{mark}" in found}
    if any(marks.values()) and not kept:
        mark = next(iter(marks.values()))
        raise FormatError(f"{path}: no linear layer has a tensor {mark}; {shown(next(iter(marks)))}.{mark} is one")
    return kept


def attention_of(raw, path="quantization_config"):
    """What is done with queries, keys and values, by a `quantization_config` that was parsed, or None: Attention."""
    return reassembled.parse_attention(raw, path) if _method(raw) == reassembled.METHOD else Attention()


def weights_stem(raw):
    """Of the names of the weight files, by the `quantization_config` of config.json, or None."""
    return getattr(_BY_METHOD.get(_method(raw)), "STEM", STEM)


def packed_tensors(name, shape, scheme, path="quantization_config"):
    """The tensors that stand for `name`.weight: name -> (dtypes that may stand there, shape)."""
    return _BY_SCHEME.get(type(scheme), reassembled).packed_tensors(name, shape, scheme, path)


def scheme_text(scheme):
    """How a table names a scheme.

    >>> scheme_text(compressed_tensors.Scheme(4, True, "group", 32))
    'int4 32 sym'
    >>> from refq.files.input_activations import Inputs
    >>> scheme_text(compressed_tensors.Scheme(4, False, "channel", None, Inputs(8, "token"), reassembled.Rotated()))
    'int4 channel asym, input int8 token, rotated'
    >>> scheme_text(codebook.Codebooks(3, "tensor", None, "kmeans"))
    'index3 tensor kmeans'
    >>> scheme_text(gptq.Gptq(4, True, 128, 1))
    'int4 128 sym, gptq'
    """
    size = scheme.group_size or scheme.strategy
    if isinstance(scheme, codebook.Codebooks):
        return f"index{scheme.bits} {size} {scheme.made_by}"
    if type(scheme) in _MARKS:
        return f"int{scheme.bits} {size} {'sym' if scheme.symmetric else 'asym'}, {_BY_SCHEME[type(scheme)].METHOD}"
    inputs = f", input int{scheme.inputs.bits} {scheme.inputs.strategy}" if scheme.inputs else ""
    return f"int{scheme.bits} {size} {'sym' if scheme.symmetric else 'asym'}{inputs}{_transform_text(scheme)}"


def _transform_text(scheme):
    transform = scheme.transform
    if isinstance(transform, reassembled.Outliers):
        return f", input int8 token but for outliers of {transform.threshold:g}"
    if isinstance(transform, reassembled.Rotated):
        return ", rotated" if transform.stride == 1 else ", rotated over heads"
    return ", reassembled" if transform else ""


def _method(raw):
    method = raw and raw.get("quant_method")
    return method if isinstance(method, str) else None
