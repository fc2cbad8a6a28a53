"""The formats of quantized layers, told apart by `quant_method`: what all other files ask about either of them."""

from refq.files import codebook, compressed_tensors
from refq.files.shards import STEM


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
    if raw.get("quant_method") == codebook.METHOD:
        return codebook.parse_quantization_config(raw, shapes, path)
    return compressed_tensors.parse_quantization_config(raw, list(shapes), path)


def weights_stem(raw):
    """Of the names of the weight files, by the `quantization_config` of config.json, or None."""
    return codebook.STEM if raw is not None and raw.get("quant_method") == codebook.METHOD else STEM


def packed_tensors(name, shape, scheme, path="quantization_config"):
    """The tensors that stand for `name`.weight: name -> (dtypes that may stand there, shape)."""
    form = codebook if isinstance(scheme, codebook.Codebooks) else compressed_tensors
    return form.packed_tensors(name, shape, scheme, path)


def scheme_text(scheme):
    """How a table names a scheme.

    >>> scheme_text(compressed_tensors.Scheme(4, True, "group", 32))
    'int4 32 sym'
    >>> from refq.files.input_activations import Inputs
    >>> scheme_text(compressed_tensors.Scheme(4, False, "channel", None, Inputs(8, "token")))
    'int4 channel asym, input int8 token'
    >>> scheme_text(codebook.Codebooks(3, "tensor", None, "kmeans"))
    'index3 tensor kmeans'
    """
    size = scheme.group_size or scheme.strategy
    if isinstance(scheme, codebook.Codebooks):
        return f"index{scheme.bits} {size} {scheme.made_by}"
    inputs = f", input int{scheme.inputs.bits} {scheme.inputs.strategy}" if scheme.inputs else ""
    return f"int{scheme.bits} {size} {'sym' if scheme.symmetric else 'asym'}{inputs}"
