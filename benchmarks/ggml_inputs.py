"""What llama.cpp makes of the inputs of a linear layer, by the type of its weight: refq keeps float32."""

import types

import numpy as np

from refq.files.gguf_model import gguf_name
from refq.jobs import gguf


def operations(path, params, engine):
    """The engine's operations for `params` of a GGUF file, but inputs of `linear` rounded as ggml's CPU code does."""
    tensors = gguf.open_model(path)[0].header.tensors
    # by identity: an operation is not told the name of a weight
    kinds = {id(w): tensors[gguf_name(name)].kind for name, w in params.items() if gguf_name(name) in tensors}
    ops = types.SimpleNamespace(**{name: getattr(engine, name) for name in dir(engine)})
    ops.linear = lambda x, w, bias=None: engine.linear(ROUNDED[kinds[id(w)]](x), w, bias)
    return ops


def _half(x):
    return x.astype(np.float16).astype(np.float32)


def _blocks_of_32(x):
    """Q8_0, and Q8_1 but for the sums of blocks, which stand there in float16."""
    groups = x.reshape(*x.shape[:-1], -1, 32)
    most = np.abs(groups).max(axis=-1, keepdims=True)
    with np.errstate(divide="ignore"):
        inverse = np.where(most > 0, np.float32(127) / most, np.float32(0))
    return (np.rint(groups * inverse) * _half(most / np.float32(127))).reshape(x.shape)


def _blocks_of_256(x):
    """Q8_K."""
    groups = x.reshape(*x.shape[:-1], -1, 256)
    most = np.take_along_axis(groups, np.abs(groups).argmax(axis=-1)[..., None], axis=-1)
    inverse = np.where(most != 0, np.float32(-127) / np.where(most != 0, most, 1), np.float32(0))
    step = np.where(most != 0, np.float32(1) / np.where(most != 0, inverse, 1), np.float32(0))
    return (np.minimum(np.rint(groups * inverse), 127) * step).reshape(x.shape)


ROUNDED = {"F32": lambda x: x, "F16": _half, "BF16": lambda x: x}
ROUNDED |= dict.fromkeys(("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"), _blocks_of_32)
ROUNDED |= dict.fromkeys(("Q4_K", "Q6_K"), _blocks_of_256)
