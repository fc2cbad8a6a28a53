"""mlx on the CPU under our names; gradients by its own differentiation."""

import importlib.metadata

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from tests.peers.bytes import as_rows, low_first, numbers_of

NAME, __version__ = "mlx", importlib.metadata.version("mlx")
__all__ = ["dequantize", "unpack_codes", "quantized_matmul", "e2m1_codebook", "embed", "embed_vjp", "linear"]
__all__ += ["linear_vjp", "softmax", "softmax_vjp", "log_softmax", "log_softmax_vjp", "silu", "silu_vjp", "swiglu"]
__all__ += ["swiglu_vjp", "rms_norm", "rms_norm_vjp", "rope", "causal_attention", "causal_attention_vjp"]
__all__ += ["cross_entropy", "cross_entropy_vjp", "pack_mlx", "unpack_mlx"]
GROUP = 32  # the smallest group


def dequantize(q, scale, zero_point):
    q, scale, zero_point = as_rows(q, scale, zero_point)
    if np.abs(q[0]).max() > 127:
        raise NotImplementedError("codes have at most 8 bits")
    u = np.zeros((len(scale), GROUP), np.int32)
    u[:, :1] = q[0] + 128
    bias = -(zero_point + 128).astype(scale.dtype) * scale
    return _dequantize(u, 8, scale[:, None], bias[:, None])[:, 0].reshape(q[1])


def unpack_codes(packed, bits, length):
    half = _half(bits)
    if length == 0:
        raise NotImplementedError("mlx may crash where there is no element")
    u = np.zeros((packed[..., 0].size, -(-length // GROUP) * GROUP), np.int32)
    u[:, :length] = numbers_of(packed, bits, length).reshape(-1, length) ^ half  # two's complement to unsigned
    ones = np.ones((len(u), u.shape[1] // GROUP), np.float32)
    q = _dequantize(u, bits, ones, -half * ones)[:, :length]
    return q.astype(np.int32).reshape(*packed.shape[:-1], length)


def pack_mlx(q, bits):
    """Its own quantizer finds the grid of steps of 1, where a group has both ends of it."""
    half, (rows, columns) = _half(bits), q.shape
    filled = np.zeros((rows, -(-columns // GROUP), GROUP), np.float32)
    filled.reshape(rows, -1)[:, :columns] = q
    filled.reshape(rows, -1)[:, columns:][:, :2] = [-half, half - 1][: -columns % GROUP]
    if (filled.min(-1) != -half).any() or (filled.max(-1) != half - 1).any():
        raise NotImplementedError("the grid is another one where a group has not both its ends")
    words, scale, bias = mx.quantize(mx.array(filled.reshape(rows, -1)), group_size=GROUP, bits=bits)
    if (np.array(scale) != 1).any() or (np.array(bias) != -half).any():
        raise NotImplementedError("the grid that mlx finds is another one")
    return np.array(words)[:, : columns * bits // 32]


def unpack_mlx(packed, bits):
    columns, half = 32 * packed.shape[1] // bits, _half(bits)
    groups = -(-columns // GROUP)
    words = np.zeros((len(packed), groups * GROUP * bits // 32), np.uint32)
    words[:, : packed.shape[1]] = packed
    ones = mx.array(np.ones((len(packed), groups), np.float32))
    q = mx.dequantize(mx.array(words), ones, -half * ones, group_size=GROUP, bits=bits)
    return np.array(q)[:, :columns].astype(np.int32)


def quantized_matmul(x, packed, scale, zero_point, bits):
    rows, groups = scale.shape
    half, q = _half(bits), numbers_of(packed, bits, x.shape[-1]).reshape(rows, groups, -1)
    size = next((size for size in (32, 64, 128) if size >= q.shape[-1]), None)
    if size is None or packed.shape[-1] != -(-x.shape[-1] * bits // 8):
        raise NotImplementedError("a group has at most 128 values; mlx does not check the length of the words")
    u = np.zeros((rows, groups, size), np.int32)  # a shorter group is filled up: with zeros of x
    u[..., : q.shape[-1]] = q ^ half  # two's complement to unsigned
    wide = np.zeros((x[..., 0].size, groups, size), x.dtype)
    wide[..., : q.shape[-1]] = x.reshape(-1, groups, q.shape[-1])
    bias = -(zero_point + half).astype(scale.dtype) * scale
    words = mx.array(np.ascontiguousarray(low_first(u.reshape(rows, -1), bits)).view(np.uint32))
    parts = mx.array(wide.reshape(len(wide), -1)), words, mx.array(scale), mx.array(bias)
    return np.array(mx.quantized_matmul(*parts, group_size=size, bits=bits)).reshape(*x.shape[:-1], rows)


def e2m1_codebook():
    words = mx.array(low_first(np.arange(32, dtype=np.int32)[None] % 16, 4).view(np.uint32))
    one = mx.array(np.uint8([[127]]))  # the exponent byte of scale 1
    table = mx.dequantize(words, one, group_size=GROUP, bits=4, mode="mxfp4")
    return np.array(table.astype(mx.float32))[0, :16]


def embed(tokens, weight):
    _inside(tokens, len(weight))
    return _forward(lambda weight: weight[mx.array(tokens)], weight)


def embed_vjp(g, tokens, weight):
    _inside(tokens, len(weight))
    return _vjp(lambda weight: weight[mx.array(tokens)], g, weight)[0]


def linear(x, weight, bias=None):
    return _forward(_linear, x, weight, *([] if bias is None else [bias]))


def linear_vjp(g, x, weight, bias=None):
    grads = _vjp(_linear, g, x, weight, *([] if bias is None else [bias]))
    return (*grads, None) if bias is None else grads


def softmax(x):
    return _forward(lambda x: mx.softmax(x, axis=-1), x)


def softmax_vjp(g, x):
    return _vjp(lambda x: mx.softmax(x, axis=-1), g, x)[0]


def log_softmax(x):
    return _forward(_log_softmax, x)


def log_softmax_vjp(g, x):
    return _vjp(_log_softmax, g, x)[0]


def silu(x):
    return _forward(nn.silu, x)


def silu_vjp(g, x):
    return _vjp(nn.silu, g, x)[0]


def swiglu(gate, up):
    return _forward(_swiglu, gate, up)


def swiglu_vjp(g, gate, up):
    return _vjp(_swiglu, g, gate, up)


def rms_norm(x, weight, eps):
    return _forward(lambda x, weight: mx.fast.rms_norm(x, weight, eps), x, weight)


def rms_norm_vjp(g, x, weight, eps):
    return _vjp(lambda x, weight: mx.fast.rms_norm(x, weight, eps), g, x, weight)


def rope(x, positions, frequencies):
    if x.dtype != np.float32:
        raise NotImplementedError("x is float32")
    settings = {
        "traditional": False,
        "base": None,
        "scale": 1.0,
        "freqs": mx.array((1 / frequencies).astype(np.float32)),
    }
    times, width = np.broadcast_to(positions, x.shape[:-1]).reshape(-1), x.shape[-1]
    pairs = zip(x.reshape(-1, 1, 1, width), times.tolist(), strict=True)
    return np.array([mx.fast.rope(mx.array(v)[None], width, offset=t, **settings) for v, t in pairs]).reshape(x.shape)


def causal_attention(q, k, v):
    return _forward(_attention, q, k, v)


def causal_attention_vjp(g, q, k, v):
    return _vjp(_attention, g, q, k, v)


def cross_entropy(logits, targets):
    _inside(targets, logits.shape[-1])
    return _forward(lambda logits: nn.losses.cross_entropy(logits, mx.array(targets)), logits)


def cross_entropy_vjp(g, logits, targets):
    _inside(targets, logits.shape[-1])
    return _vjp(lambda logits: nn.losses.cross_entropy(logits, mx.array(targets)), g, logits)[0]


def _inside(indices, length):
    if indices.dtype.kind not in "iu":
        raise NotImplementedError("mlx sees that indices are real in a thread of its own, not always in time")
    if (indices < 0).any() or (indices >= length).any():
        raise NotImplementedError("mlx does not check indices: it would read or write outside the array")


def _linear(x, weight, *bias):
    y = x @ weight.T
    return y + bias[0] if bias else y


def _log_softmax(x):
    if x.shape[-1] == 1:
        raise NotImplementedError("mlx.nn.log_softmax crashes the process on a last axis of 1")
    return nn.log_softmax(x)


def _swiglu(gate, up):
    return nn.silu(gate) * up


def _attention(q, k, v):
    B, K, R, T, d = q.shape
    flat = q.reshape(B, K * R, T, d)
    return mx.fast.scaled_dot_product_attention(flat, k, v, scale=d**-0.5, mask="causal").reshape(q.shape)


def _dequantize(u, bits, scale, bias):
    words = np.ascontiguousarray(low_first(u, bits)).view(np.uint32)
    return np.array(mx.dequantize(mx.array(words), mx.array(scale), mx.array(bias), group_size=GROUP, bits=bits))


def _half(bits):
    if bits == 7:
        raise NotImplementedError("there are no 7-bit codes")
    return 2 ** (bits - 1)


def _forward(function, *arrays):
    if any(part.size == 0 for part in arrays):
        raise NotImplementedError("mlx may crash where there is no element")
    with mx.stream(mx.cpu):
        return np.array(function(*map(mx.array, arrays)))


def _vjp(function, g, *arrays):
    if any(part.size == 0 for part in arrays):
        raise NotImplementedError("mlx may crash where there is no element")
    with mx.stream(mx.cpu):
        return tuple(np.array(part) for part in mx.vjp(function, [*map(mx.array, arrays)], [mx.array(g)])[1])
