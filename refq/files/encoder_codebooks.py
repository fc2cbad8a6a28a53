"""An encoder whose matrices are codebooks: its part of config.json, and the names, types and shapes of its tensors.

All matrices but the classifier, embeddings among them, have one codebook each. Instead of `X.weight` (N, K) there are

    X.weight_index     uint8 (N, ceil(K * bits / 8))     pack_codes of the indices of each row, as numbers mod 2**bits
    X.weight_codebook  float16 (1, 1, 2**bits)           entry i of the codebook stands for index i
"""

import math

from refq.errors import FormatError
from refq.files.compressed_tensors import FLOATS
from refq.files.strict import shown

METHOD = "refq-codebook"


def encoder_quantization(bits):
    """The `quantization_config` of config.json: of no public format, and so under a name that others refuse."""
    return {"quant_method": METHOD, "bits": bits, "strategy": "tensor"}


def read_bits(raw, path):
    """The bits of an index, out of a quantization_config as `encoder_quantization` gives it."""
    bits = raw.get("bits") if isinstance(raw, dict) else None
    if type(bits) is not int or not 1 <= bits <= 8 or raw != encoder_quantization(bits):
        raise FormatError(f"{path}: quantization_config is {shown(raw)}; one of {METHOD} is supported, of 1..8 bits")
    return bits


def codebook_tensors(shapes, bits):
    """What is stored of the tensors of a float model: name -> (dtypes, shape).

    Parameters
        shapes: name -> shape, of the float model.
    """
    stored = {}
    for name, shape in shapes.items():
        if len(shape) == 2 and not name.startswith("classifier."):
            stored[f"{name}_index"] = (("U8",), (shape[0], math.ceil(shape[1] * bits / 8)))
            stored[f"{name}_codebook"] = (("F16",), (1, 1, 2**bits))
        else:
            stored[name] = (FLOATS, shape)
    return stored
