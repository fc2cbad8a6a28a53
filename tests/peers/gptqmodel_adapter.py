"""GPTQModel on the CPU under our names: the words of GPTQ and AWQ as its linear layers dequantize them."""

import importlib.metadata
import os

import numpy as np

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
import torch
from gptqmodel.nn_modules.qlinear.torch import TorchLinear
from gptqmodel.quantization.awq.utils.packing_utils import dequantize_gemm
from gptqmodel.utils.model import convert_gptq_v1_to_v2_format_module

NAME, __version__ = "gptqmodel", importlib.metadata.version("gptqmodel")
__all__ = ["unpack_gptq", "unpack_gptq_zeros", "unpack_awq"]


def unpack_gptq(packed, bits):
    """Its weight with scales of 1 and zero points of 0: the codes, unsigned."""
    inputs, outputs = 32 * packed.shape[0] // bits, packed.shape[1]
    zeros = np.zeros((1, -(-outputs * bits // 32)), np.int32)
    if bits == 3:  # whole words alone hold zero points
        packed = np.pad(packed, [(0, 0), (0, -outputs % 32)])
        zeros = np.zeros((1, packed.shape[1] * 3 // 32), np.int32)
    return _codes(packed, zeros, bits, 2, inputs)[:outputs] - 2 ** (bits - 1)


def unpack_gptq_zeros(packed, bits, version=1):
    """The same with codes of 0: the zero points less than nothing; a group in a call."""
    outputs = 32 * packed.shape[1] // bits
    empty = np.zeros((bits, outputs), np.int32)  # 32 inputs
    found = [-_codes(empty, row[None], bits, version, 32)[:, 0] for row in packed]
    return np.stack(found, axis=1).astype(np.int32) - 2 ** (bits - 1)


def unpack_awq(packed):
    words, ones = torch.from_numpy(packed), torch.ones((packed.shape[0], 8 * packed.shape[1]), dtype=torch.float16)
    return dequantize_gemm(words, torch.zeros_like(words), ones, 4, 1).numpy().T.astype(np.int32) - 8


def _codes(words, zeros, bits, version, inputs):
    outputs = words.shape[1]
    if bits not in (2, 3, 4, 8):
        raise NotImplementedError("other widths have another layout there")
    layer = TorchLinear(bits, -1, False, False, inputs, outputs, register_buffers=True)
    layer.qweight, layer.qzeros = torch.from_numpy(words.copy()), torch.from_numpy(zeros.copy())
    layer.scales = torch.ones((1, outputs), dtype=torch.float16)
    layer.g_idx = torch.zeros(inputs, dtype=torch.int32)
    if version == 1:
        convert_gptq_v1_to_v2_format_module(layer, bits, torch.int32)
    layer.eval()
    layer.post_init()
    return layer.dequantize_weight().numpy().T.astype(np.int32)
