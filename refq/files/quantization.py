"""The formats of quantized layers, told apart by `quant_method`: what all other files ask about any of them."""

from refq.files import codebook, compressed_tensors, reassembled
from refq.files.reassembled import Attention
from refq.files.shards import STEM


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
        dict, layer name -> Scheme of compressed_tensors, or Codebooks of codebook, in the order of shapes.
    Raises
        FormatError: another method, or a setting we do not support.
    """
    own = {form.METHOD: form for form in (codebook, reassembled)}.get(_method(raw))
    if own:
        return own.parse_quantization_config(raw, shapes, path)
    return compressed_tensors.parse_quantization_config(raw, list(shapes), path)


def attention_of(raw, path="quantization_config"):
    """What is done with queries, keys and values, by a `quantization_config` that was parsed, or None: Attention."""
    return reassembled.parse_attention(raw, path) if _method(raw) == reassembled.METHOD else Attention()


def weights_stem(raw):
    """Of the names of the weight files, by the `quantization_config` of config.json, or None."""
    return {form.METHOD: form.STEM for form in (codebook, reassembled)}.get(_method(raw), STEM)


def packed_tensors(name, shape, scheme, path="quantization_config"):
    """The tensors that stand for `name`.weight: name -> (dtypes that may stand there, shape)."""
    form = codebook if isinstance(scheme, codebook.Codebooks) else reassembled
    return form.packed_tensors(name, shape, scheme, path)


def scheme_text(scheme):
    """How a table names a scheme.

    >>> scheme_text(compressed_tensors.Scheme(4, True, "group", 32))
    'int4 32 sym'
    >>> from refq.files.input_activations import Inputs
    >>> scheme_text(compressed_tensors.Scheme(4, False, "channel", None, Inputs(8, "token"), reassembled.Rotated()))
    'int4 channel asym, input int8 token, rotated'
    >>> scheme_text(codebook.Codebooks(3, "tensor", None, "kmeans"))
    'index3 tensor kmeans'
    """
    size = scheme.group_size or scheme.strategy
    if isinstance(scheme, codebook.Codebooks):
        return f"index{scheme.bits} {size} {scheme.made_by}"
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
