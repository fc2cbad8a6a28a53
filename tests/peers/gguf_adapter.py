"""gguf (the NumPy quantizers beside llama.cpp) under our names: the simple block formats, 32 values a block."""

import importlib.metadata

import gguf.quants
import numpy as np
from gguf import GGMLQuantizationType as Type

from tests.peers.bytes import as_rows

NAME, __version__ = "gguf", importlib.metadata.version("gguf")
__all__ = ["q4_0_range", "q4_1_range", "q8_0_range", "dequantize", "e2m1_codebook"]
DECODED = ["q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "iq4_nl", "iq4_xs", "mxfp4", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k"]
ENCODED = ["q4_0", "q4_1", "q5_0", "q8_0"]
__all__ += [f"decode_{name}" for name in DECODED] + [f"encode_{name}" for name in ENCODED]


def q4_0_range(groups):
    d = _halves(groups, Type.Q4_0)[..., :1]
    return d, np.full(d.shape, 8, np.int32), 0, 15


def q4_1_range(groups):
    halves = _halves(groups, Type.Q4_1)
    return halves[..., :1], halves[..., 1:2], 0, 15


def q8_0_range(groups):
    d = _halves(groups, Type.Q8_0)[..., :1]
    return d, np.zeros(d.shape, np.int32), -127, 127


def dequantize(q, scale, zero_point):
    q, scale, zero_point = as_rows(q, scale, zero_point)
    half = scale.astype(np.float16)
    if zero_point.any() or np.abs(q[0]).max() > 127 or (half != scale).any():
        raise NotImplementedError("a block of Q8_0 has 8-bit codes around 0 and a float16 scale")
    blocks = np.zeros((len(half), 34), np.uint8)  # scale, then 32 codes, of which the first is ours
    blocks[:, :2], blocks[:, 2:3] = half[:, None].view(np.uint8), q[0].astype(np.int8).view(np.uint8)
    return gguf.quants.dequantize(blocks, Type.Q8_0)[:, 0].reshape(q[1])


def _decoder(name):
    def decode(packed):
        x = gguf.quants.dequantize(np.ascontiguousarray(packed), Type[name.upper()])
        return np.asarray(x, np.float32).reshape(*packed.shape[:-1], -1)

    return decode


def _encoder(name):
    def encode(x):
        if x.dtype != np.float32:
            raise NotImplementedError("blocks are made of float32")
        return gguf.quants.quantize(x, Type[name.upper()])

    return encode


globals().update({f"decode_{name}": _decoder(name) for name in DECODED})
globals().update({f"encode_{name}": _encoder(name) for name in ENCODED})


def e2m1_codebook():
    return np.float32(gguf.quants.MXFP4.kvalues) / 2  # ggml stores them doubled


def _halves(groups, kind):
    """The float16 numbers at the head of each block (..., 2) as float32; a shorter group repeats its last value."""
    if groups.shape[-1] > 32:
        raise NotImplementedError("a block has 32 values")
    if groups.dtype != np.float32:
        raise NotImplementedError("blocks are made of float32")
    missing = [(0, 0)] * (groups.ndim - 1) + [(0, 32 - groups.shape[-1])]
    blocks = gguf.quants.quantize(np.pad(groups, missing, mode="edge"), kind).reshape(*groups.shape[:-1], -1)
    return np.ascontiguousarray(blocks[..., :4]).view(np.float16).astype(np.float32)
