"""One tensor under several schemes: where their entries stand, and the error of each."""

import difflib
import os

import numpy as np

from refq.errors import UsageError
from refq.files.bert_config import is_encoder
from refq.files.checkpoint import check_finite, open_checkpoint
from refq.files.encoder import open_encoder
from refq.files.safetensors import as_float32
from refq.training.codebook_student import fit_codebook

SCHEMES = ("kmeans_optimal", "linear_mean", "linear_round")


def tensor_codebooks(model, tensor, bits, engine):
    """The numbers of a tensor, and one codebook of each of SCHEMES for all of them.

    Parameters
        model: directory of a LLaMA or an encoder.
        tensor: the name of one of its float tensors.
        bits: int, 1..8.
        engine: refq or refq_fast.
    Returns
        numbers: float32 (n,).
        found: dict, scheme -> (codebook, error): float32 (2**bits,), ascending; error is the sum of squared errors over
            the sum of squares, 0 for a tensor of zeros.
    Raises
        UsageError: no such tensor, or one of a quantized layer.
        FileError: a model that cannot be read, or a number that is not finite.
    """
    config = os.path.join(model, "config.json")
    checkpoint = (open_encoder if os.path.exists(config) and is_encoder(config) else open_checkpoint)(model)
    floats = [name for name, (_, info) in checkpoint.tensors.items() if info.dtype in ("F32", "F16", "BF16")]
    if tensor not in floats:
        near = difflib.get_close_matches(tensor, floats, n=1, cutoff=0) or ["none"]
        raise UsageError(f"{tensor} is no float tensor of {model}; of those the nearest name is {near[0]}")
    array = check_finite(checkpoint.read(tensor), tensor, checkpoint.tensors[tensor][0])
    groups, found = as_float32(array).reshape(1, -1), {}
    size = float(np.square(groups, dtype=np.float64).sum())
    for scheme in SCHEMES:
        codebook, index = fit_codebook(groups, scheme, bits, None, engine)
        far = float(np.square(groups - engine.codebook_lookup(index, codebook), dtype=np.float64).sum())
        found[scheme] = (codebook[0], far / size if size else 0.0)
    return groups[0], found
