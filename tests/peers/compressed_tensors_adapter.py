"""compressed-tensors under our names: what it does to a weight, and the words it packs."""

import importlib.metadata
import math

import numpy as np
import torch
from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32, unpack_from_int32
from compressed_tensors.entrypoints.convert import AutoAWQConverter
from compressed_tensors.quantization import QuantizationArgs
from compressed_tensors.quantization.lifecycle import forward
from compressed_tensors.quantization.utils import calculate_qparams

from tests.peers.bytes import as_rows

NAME, __version__ = "compressed-tensors", importlib.metadata.version("compressed-tensors")
__all__ = ["quantize", "dequantize", "fake_quantize", "pack_compressed_tensors", "unpack_compressed_tensors"]
__all__ += ["compressed_tensors_range", "minmax", "unpack_awq"]


def quantize(x, scale, zero_point, qmin, qmax):
    return _run(forward.quantize, x, scale, zero_point, _args(qmin, qmax), torch.int32)


def dequantize(q, scale, zero_point):
    if np.asarray(q).dtype.kind == "f":
        raise TypeError("codes are integers")  # it would take reals
    return _run(forward.dequantize, q, scale, zero_point, _args(-128, 127), None)


def fake_quantize(x, scale, zero_point, qmin, qmax):
    return _run(forward.fake_quantize, x, scale, zero_point, _args(qmin, qmax))


def pack_compressed_tensors(q, bits):
    packed = pack_to_int32(torch.from_numpy(q.reshape(math.prod(q.shape[:-1]), q.shape[-1]).astype(np.int8)), bits)
    return packed.numpy().reshape(*q.shape[:-1], -(-q.shape[-1] * bits // 32))


def unpack_compressed_tensors(packed, bits, length):
    rows = torch.from_numpy(packed.reshape(math.prod(packed.shape[:-1]), packed.shape[-1]))
    q = unpack_from_int32(rows, bits, torch.Size((len(rows), length)))
    return q.numpy().astype(np.int32).reshape(*packed.shape[:-1], length)


def unpack_awq(packed):
    """The first steps of its converter of AutoAWQ's models."""
    stored, _ = AutoAWQConverter.unpack_awq(torch.from_numpy(packed), None, 4)
    ordered, _ = AutoAWQConverter.reverse_awq_order(stored, None, 4)
    return ((ordered & 15) - 8).T.numpy().astype(np.int32)


def compressed_tensors_range(groups, bits=4, symmetric=True):
    scale, zero_point = _range(groups, QuantizationArgs(num_bits=bits, symmetric=symmetric, strategy="channel"))
    return scale, zero_point, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


def minmax(groups, qmin, qmax, symmetric=True, scale_dtype="float32"):
    args = _args(qmin, qmax)
    args.symmetric = symmetric
    args.scale_dtype = getattr(torch, scale_dtype)
    scale, zero_point = _range(groups, args)
    return scale.astype(groups.dtype), zero_point


def _range(groups, args):
    low, high = (torch.from_numpy(part) for part in (groups.min(-1, keepdims=True), groups.max(-1, keepdims=True)))
    scale, zero_point = calculate_qparams(low, high, args)
    return scale.numpy(), zero_point.numpy().astype(np.int32)


def _args(qmin, qmax):
    for bits in range(1, 9):
        if (qmin, qmax) == (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1):
            return QuantizationArgs(num_bits=bits, symmetric=False, strategy="channel")
    raise NotImplementedError(f"integer codes are -2**(bits-1)..2**(bits-1)-1, not {qmin}..{qmax}")


def _run(function, x, scale, zero_point, *rest):
    x, scale, zero_point = as_rows(x, scale, zero_point)
    parts = torch.from_numpy(x[0]), torch.from_numpy(scale)[:, None], torch.from_numpy(zero_point)[:, None]
    return function(*parts, *rest).numpy().reshape(x[1])
