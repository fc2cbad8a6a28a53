"""onnxruntime under our names: one node of ONNX (or of com.microsoft) a function, run on the CPU."""

import math

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization.quant_utils import compute_scale_zp

from tests.peers.bytes import as_rows, low_first, numbers_of

NAME, __version__ = "onnxruntime", onnxruntime.__version__
__all__ = ["quantize", "dequantize", "fake_quantize", "minmax", "pack_codes", "unpack_codes", "quantized_matmul"]
__all__ += ["embed", "linear", "softmax", "log_softmax", "silu", "swiglu", "rms_norm", "rope", "causal_attention"]
__all__ += ["cross_entropy", "unpack_matmul_nbits", "unpack_matmul_nbits_zeros"]
CODES = {
    (-8, 7): TensorProto.INT4,
    (0, 15): TensorProto.UINT4,
    (-2, 1): TensorProto.INT2,
    (0, 3): TensorProto.UINT2,
    (-128, 127): TensorProto.INT8,
    (0, 255): TensorProto.UINT8,
    (-(2**15), 2**15 - 1): TensorProto.INT16,
    (0, 2**16 - 1): TensorProto.UINT16,
}


def quantize(x, scale, zero_point, qmin, qmax):
    x, scale, zero_point = as_rows(x, scale, zero_point)
    codes = _codes(qmin, qmax, zero_point)
    return _run("QuantizeLinear", x[0], scale, codes, to=TensorProto.INT32, axis=0).reshape(x[1])


def dequantize(q, scale, zero_point):
    q, scale, zero_point = as_rows(q, scale, zero_point)
    if not zero_point.any():
        return _run("DequantizeLinear", q[0], scale, axis=0).reshape(q[1])
    for low, high in ((-128, 127), (0, 255), (-(2**15), 2**15 - 1)):
        if min(q[0].min(), zero_point.min()) >= low and max(q[0].max(), zero_point.max()) <= high:
            kind = CODES[low, high]
            return _run("DequantizeLinear", (q[0], kind), scale, (zero_point, kind), axis=0).reshape(q[1])
    raise NotImplementedError("no type of at most 16 bits holds codes and zero point")


def fake_quantize(x, scale, zero_point, qmin, qmax):
    q = quantize(x, scale, zero_point, qmin, qmax)
    kind = CODES[qmin, qmax]
    q, scale, zero_point = as_rows(q, np.float32(scale), zero_point)
    return _run("DequantizeLinear", (q[0], kind), scale, (zero_point, kind), axis=0).reshape(q[1])


def minmax(groups, qmin, qmax, symmetric=True, scale_dtype="float32"):
    if scale_dtype != "float32":
        raise NotImplementedError("the scale is float32")
    low, high = groups.min(-1).reshape(-1), groups.max(-1).reshape(-1)
    found = [compute_scale_zp(a, b, np.array(qmin), np.array(qmax), symmetric) for a, b in zip(low, high, strict=True)]
    shape = (*groups.shape[:-1], 1)
    return np.array([s for _, s in found]).reshape(shape), np.array([z for z, _ in found], np.int32).reshape(shape)


def pack_codes(q, bits):
    kind = {4: TensorProto.INT4, 2: TensorProto.INT2}.get(bits)
    if kind is None:
        raise NotImplementedError("ONNX packs 2 and 4 bits")
    rows = q.reshape(math.prod(q.shape[:-1]), q.shape[-1])
    packed = [helper.make_tensor("q", kind, row.shape, row.tolist()).int32_data for row in rows]
    return np.array(packed, np.uint8).reshape(*q.shape[:-1], -(-q.shape[-1] * bits // 8))


def unpack_codes(packed, bits, length):
    kind = {4: TensorProto.INT4, 2: TensorProto.INT2}.get(bits)
    if kind is None:
        raise NotImplementedError("ONNX packs 2 and 4 bits")
    rows = [
        helper.make_tensor("q", kind, (length,), r.tobytes(), raw=True)
        for r in packed.reshape(math.prod(packed.shape[:-1]), packed.shape[-1])
    ]
    return np.array([numpy_helper.to_array(row).astype(np.int32) for row in rows]).reshape(*packed.shape[:-1], length)


def quantized_matmul(x, packed, scale, zero_point, bits):
    half, (rows, groups) = 2 ** (bits - 1), scale.shape
    if bits not in (2, 4, 8):
        raise NotImplementedError("MatMulNBits takes 2, 4 and 8 bits")
    if zero_point.min() < -half or zero_point.max() >= half:
        raise NotImplementedError("MatMulNBits takes zero points on the grid")
    q = numbers_of(packed, bits, x.shape[-1]).reshape(rows, groups, -1)
    size = max(16, 1 << (q.shape[-1] - 1).bit_length())  # a block is a power of two from 16 on
    u = np.zeros((rows, groups, size), np.int32)  # a shorter group is filled up: with zeros of x
    u[..., : q.shape[-1]] = q ^ half  # two's complement to unsigned
    wide = np.zeros((x[..., 0].size, groups, size), x.dtype)
    wide[..., : q.shape[-1]] = x.reshape(-1, groups, q.shape[-1])
    inputs = wide.reshape(len(wide), -1), (low_first(u, bits), TensorProto.UINT8), scale
    zeros = low_first(zero_point + half, bits), TensorProto.UINT8
    sizes = {"K": groups * size, "N": rows, "bits": bits, "block_size": size, "accuracy_level": 1}  # 1: float32
    return _run("MatMulNBits", *inputs, zeros, domain="com.microsoft", **sizes).reshape(*x.shape[:-1], rows)


def unpack_matmul_nbits(packed, bits, length):
    ones = np.ones(packed.shape[:2], np.float32)
    return matmul_nbits(packed, ones, None, bits, length).astype(np.int32)


def matmul_nbits(packed, scale, zeros, bits, length):
    """The weight (outputs, length) that MatMulNBits multiplies by."""
    rows, _, size = packed.shape
    sizes = {"K": length, "N": rows, "bits": bits, "block_size": 8 * size // bits, "accuracy_level": 1}
    inputs = np.eye(length, dtype=np.float32), (packed, TensorProto.UINT8), scale
    inputs = (*inputs, *([] if zeros is None else [(zeros, TensorProto.UINT8)]))
    return _run("MatMulNBits", *inputs, domain="com.microsoft", **sizes).T


def unpack_matmul_nbits_zeros(packed, bits, blocks):
    rows, size, half = len(packed), 16, 2 ** (bits - 1)
    first = np.eye(blocks * size, dtype=np.float32)[::size]  # of each block, where u is 0
    sizes = {"K": blocks * size, "N": rows, "bits": bits, "block_size": size, "accuracy_level": 1}
    words = np.zeros((rows, blocks, size * bits // 8), np.uint8), TensorProto.UINT8
    inputs = first, words, np.ones((rows, blocks), np.float32), (packed, TensorProto.UINT8)
    return -_run("MatMulNBits", *inputs, domain="com.microsoft", **sizes).T.astype(np.int32) - half


def embed(tokens, weight):
    return _run("Gather", weight, tokens)


def linear(x, weight, bias=None):
    y = _run("Gemm", x.reshape(-1, x.shape[-1]), weight, *([] if bias is None else [bias]), transB=1)
    return y.reshape(*x.shape[:-1], len(weight))


def softmax(x):
    return _run("Softmax", x, axis=-1)


def log_softmax(x):
    return _run("LogSoftmax", x, axis=-1)


def silu(x):
    return _run("Mul", x, _run("Sigmoid", x))


def swiglu(gate, up):
    return _run("Mul", silu(gate), up)


def rms_norm(x, weight, eps):
    return _run("RMSNormalization", x, weight, epsilon=eps)


def rope(x, positions, frequencies):
    angles = np.broadcast_to(positions, x.shape[:-1]).reshape(1, -1, 1) * frequencies
    cos, sin = np.cos(angles).astype(x.dtype), np.sin(angles).astype(x.dtype)
    return _run("RotaryEmbedding", x.reshape(1, 1, -1, x.shape[-1]), cos, sin).reshape(x.shape)


def causal_attention(q, k, v):
    B, K, R, T, d = q.shape
    past = k.shape[2] - T  # is_causal counts from the first query, so earlier keys go in as the past
    parts = [k[:, :, past:], v[:, :, past:], None, k[:, :, :past], v[:, :, :past]] if past else [k, v]
    outputs = ["y", "keys", "values"] if past else ["y"]
    return _run("Attention", q.reshape(B, K * R, T, d), *parts, outputs=outputs, is_causal=1).reshape(q.shape)


def cross_entropy(logits, targets):
    flat = logits.reshape(-1, logits.shape[-1])
    return _run("SoftmaxCrossEntropyLoss", flat, targets.reshape(-1), reduction="none").reshape(targets.shape)


def _codes(qmin, qmax, zero_point):
    if (qmin, qmax) not in CODES:
        raise NotImplementedError(f"no type has the codes {qmin}..{qmax}")
    if ((zero_point < qmin) | (zero_point > qmax)).any():
        raise NotImplementedError("the zero point has the type of the codes")
    return zero_point, CODES[qmin, qmax]


def _run(node, *inputs, to=None, domain="", outputs=("y",), **attributes):
    """The first result of one node; an input is an array, an (array, ONNX type) or None."""
    feeds, constants, names = {}, [], []
    for i, value in enumerate(inputs):
        names.append("" if value is None else f"i{i}")
        if isinstance(value, tuple):
            constants.append(helper.make_tensor(f"i{i}", value[1], value[0].shape, value[0].reshape(-1).tolist()))
        elif value is not None:
            feeds[f"i{i}"] = np.array(value, order="C")
    kinds = {name: helper.np_dtype_to_tensor_dtype(value.dtype) for name, value in feeds.items()}
    heads = [helper.make_tensor_value_info(name, kinds[name], value.shape) for name, value in feeds.items()]
    nodes = [helper.make_node(node, names, outputs, domain=domain, **attributes)]
    if to:
        nodes.append(helper.make_node("Cast", ["y"], ["z"], to=to))
    results = [helper.make_empty_tensor_value_info(name) for name in (["z"] if to else outputs)]
    graph = helper.make_graph(nodes, node, heads, results, constants)
    opsets = [helper.make_opsetid("", 25), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=12)
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, feeds)[0]
