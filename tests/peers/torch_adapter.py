"""torch on the CPU under our names; gradients by its own differentiation."""

import numpy as np
import torch
from torch.ao.quantization.fx import _decomposed as decomposed
from torch.ao.quantization.observer import PerChannelMinMaxObserver
from torch.nn import functional
from torch.nn.attention.bias import causal_lower_right

from tests.peers import torch_encoder, torch_losses, torch_optimizers
from tests.peers.bytes import as_rows, numbers_of
from tests.peers.torch_encoder import *  # noqa: F403
from tests.peers.torch_losses import *  # noqa: F403
from tests.peers.torch_optimizers import *  # noqa: F403

NAME, __version__ = "torch", torch.__version__
__all__ = ["quantize", "dequantize", "fake_quantize", "fake_quantize_vjp", "minmax", "embed", "embed_vjp", "linear"]
__all__ += ["linear_vjp", "softmax", "softmax_vjp", "log_softmax", "log_softmax_vjp", "silu", "silu_vjp", "swiglu"]
__all__ += ["swiglu_vjp", "rms_norm", "rms_norm_vjp", "causal_attention", "causal_attention_vjp", "cross_entropy"]
__all__ += ["cross_entropy_vjp", "quantized_matmul", "quantized_matmul_vjp", *torch_losses.__all__]
__all__ += [*torch_optimizers.__all__, *torch_encoder.__all__]


def quantize(x, scale, zero_point, qmin, qmax):
    x, scale, zero_point = as_rows(x, scale, zero_point)
    parts = torch.from_numpy(x[0]), torch.from_numpy(scale), torch.from_numpy(zero_point)
    return decomposed.quantize_per_channel(*parts, 0, qmin, qmax, torch.int32).numpy().reshape(x[1])


def dequantize(q, scale, zero_point):
    q, scale, zero_point = as_rows(q, scale, zero_point)
    limits = -(2**31), 2**31 - 1
    parts = (
        torch.from_numpy(q[0].astype(np.int32, casting="safe")),
        torch.from_numpy(scale),
        torch.from_numpy(zero_point),
    )
    return decomposed.dequantize_per_channel(*parts, 0, *limits, torch.int32).numpy().reshape(q[1])


def fake_quantize(x, scale, zero_point, qmin, qmax):
    shape = x.shape
    x, fake = _fake(x, scale, zero_point, qmin, qmax)
    return fake(torch.from_numpy(x)).numpy().reshape(shape)


def fake_quantize_vjp(g, x, scale, zero_point, qmin, qmax):
    shape = g.shape
    x, fake = _fake(x, scale, zero_point, qmin, qmax)
    return _vjp(fake, g.reshape(x.shape), x)[0].reshape(shape)


def minmax(groups, qmin, qmax, symmetric=True, scale_dtype="float32"):
    if scale_dtype != "float32":
        raise NotImplementedError("the scale is float32")
    scheme = torch.per_channel_symmetric if symmetric else torch.per_channel_affine
    kind = torch.qint8 if qmin < 0 else torch.quint8
    observer = PerChannelMinMaxObserver(dtype=kind, qscheme=scheme, quant_min=qmin, quant_max=qmax)
    observer(torch.from_numpy(groups.reshape(-1, groups.shape[-1])))
    scale, zero_point = observer.calculate_qparams()
    shape = (*groups.shape[:-1], 1)
    return scale.numpy().reshape(shape), zero_point.numpy().astype(np.int32).reshape(shape)


def embed(tokens, weight):
    return _forward(lambda weight: functional.embedding(torch.from_numpy(tokens), weight), weight)


def embed_vjp(g, tokens, weight):
    return _vjp(lambda weight: functional.embedding(torch.from_numpy(tokens), weight), g, weight)[0]


def linear(x, weight, bias=None):
    return _forward(functional.linear, x, weight, *([] if bias is None else [bias]))


def linear_vjp(g, x, weight, bias=None):
    grads = _vjp(functional.linear, g, x, weight, *([] if bias is None else [bias]))
    return (*grads, None) if bias is None else grads


def quantized_matmul(x, packed, scale, zero_point, bits):
    w = _weight(packed, scale, zero_point, bits, x.shape[-1])
    return _forward(lambda x: functional.linear(x, w), x)


def quantized_matmul_vjp(g, x, packed, scale, zero_point, bits):
    w = _weight(packed, scale, zero_point, bits, x.shape[-1])
    return _vjp(lambda x: functional.linear(x, w), g, x)[0]


def softmax(x):
    return _forward(_softmax, x)


def softmax_vjp(g, x):
    return _vjp(_softmax, g, x)[0]


def log_softmax(x):
    return _forward(_log_softmax, x)


def log_softmax_vjp(g, x):
    return _vjp(_log_softmax, g, x)[0]


def silu(x):
    return _forward(functional.silu, x)


def silu_vjp(g, x):
    return _vjp(functional.silu, g, x)[0]


def swiglu(gate, up):
    return _forward(_swiglu, gate, up)


def swiglu_vjp(g, gate, up):
    return _vjp(_swiglu, g, gate, up)


def rms_norm(x, weight, eps):
    return _forward(lambda x, weight: functional.rms_norm(x, weight.shape, weight, eps), x, weight)


def rms_norm_vjp(g, x, weight, eps):
    return _vjp(lambda x, weight: functional.rms_norm(x, weight.shape, weight, eps), g, x, weight)


def causal_attention(q, k, v):
    return _forward(_attention, q, k, v)


def causal_attention_vjp(g, q, k, v):
    return _vjp(_attention, g, q, k, v)


def cross_entropy(logits, targets):
    return _forward(lambda logits: _cross_entropy(logits, targets), logits)


def cross_entropy_vjp(g, logits, targets):
    return _vjp(lambda logits: _cross_entropy(logits, targets), g, logits)[0]


def _fake(x, scale, zero_point, qmin, qmax):
    x, scale, zero_point = as_rows(x, scale, zero_point)
    if zero_point.min() < qmin or zero_point.max() > qmax:
        raise NotImplementedError("the zero point lies on the grid")
    scale, zero_point = torch.from_numpy(scale), torch.from_numpy(zero_point)
    return x[0], lambda x: torch.fake_quantize_per_channel_affine(x, scale, zero_point, 0, qmin, qmax)


def _weight(packed, scale, zero_point, bits, length):
    """The weight (out, in): torch has no product with these bytes that it differentiates."""
    half, groups = 2 ** (bits - 1), scale.shape[1]
    u = numbers_of(packed, bits, length).reshape(*scale.shape, length // groups)
    w = dequantize((u ^ half) - half, scale[..., None], zero_point[..., None])
    return torch.from_numpy(w.reshape(-1, length))


def _softmax(x):
    return functional.softmax(x, dim=-1)


def _log_softmax(x):
    return functional.log_softmax(x, dim=-1)


def _swiglu(gate, up):
    if gate.shape != up.shape:
        raise ValueError("the shapes differ")  # torch would broadcast
    return functional.silu(gate) * up


def _attention(q, k, v):
    B, K, R, T, d = q.shape
    mask = causal_lower_right(T, k.shape[2])  # is_causal counts from the first key
    y = functional.scaled_dot_product_attention(q.reshape(B, K * R, T, d), k, v, attn_mask=mask, enable_gqa=True)
    return y.reshape(q.shape)


def _cross_entropy(logits, targets):
    flat = torch.from_numpy(targets.reshape(-1).astype(np.int64))
    loss = functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), flat, reduction="none")
    return loss.reshape(targets.shape)


def _forward(function, *arrays):
    return function(*map(torch.from_numpy, arrays)).numpy()


def _vjp(function, g, *arrays):
    leaves = [torch.from_numpy(part).requires_grad_() for part in arrays]
    return tuple(part.numpy() for part in torch.autograd.grad(function(*leaves), leaves, torch.from_numpy(g)))
