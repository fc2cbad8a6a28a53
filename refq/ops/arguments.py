"""The arguments of the operations, each by its rule. Both packages call these, so their errors cannot diverge."""

import math

import numpy as np

from refq import checks
from refq.checks import last_axis
from refq.errors import DtypeError, GridError, ShapeError

LLAMA3 = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")


def embed(tokens, weight):
    """tokens of any shape, each a row of weight (V, D)."""
    weight = _axes("weight", checks.as_float("weight", weight), "V", "D")
    return indices("tokens", tokens, weight.shape[0]), weight


def linear(x, weight, bias):
    """x (..., in), weight (out, in), bias (out,) or None, all of one dtype."""
    x = last_axis("x", checks.as_float("x", x))
    weight = _axes("weight", checks.as_float_like("weight", weight, x), "out", "in")
    checks.same_shape("x", x, f"weight of shape {weight.shape}", (*x.shape[:-1], weight.shape[1]))
    return x, weight, None if bias is None else vector("bias", bias, x, weight.shape[0])


def quantized_matmul(x, packed, scale, zero_point, bits):
    """x (..., in), packed (out, ceil(in * bits / 8)) bytes, scale and zero_point (out, groups)."""
    x, packed, bits = _with_packed(x, packed, checks.bit_width(bits))
    scale = _axes("scale", checks.as_float_like("scale", scale, x), "out", "groups")
    _dividing("scale", scale.shape[1], x.shape[-1])
    checks.same_shape("scale", scale, "packed", (len(packed), scale.shape[1]))
    checks.same_shape("zero_point", zero_point, "scale", scale.shape)
    return x, packed, checks.grid_scale(scale, scale), checks.grid_zero_point(zero_point, scale.shape), bits


def codebook_matmul(x, packed, codebook, bits):
    """x (..., in), packed (out, ceil(in * bits / 8)) bytes, codebook (out or 1, groups, 2**bits)."""
    x, packed, bits = _with_packed(x, packed, checks.bit_width(bits, smallest=1))
    codebook = _axes("codebook", checks.as_float_like("codebook", codebook, x), "out or 1", "groups", "2**bits")
    books, groups, entries = codebook.shape
    if books not in (1, len(packed)) or entries != 2**bits:
        needed = f"(1 or {len(packed)}, groups, {2**bits})"
        raise ShapeError(f"codebook has shape {codebook.shape}; {bits} bits and {len(packed)} rows need {needed}")
    _dividing("codebook", groups, x.shape[-1])
    return x, packed, checks.finite("codebook", codebook), bits


def llm_int8_matmul(x, q, scale, threshold, weight):
    """Finite x (..., in), q (out, in) of 8 bits, scale (out, 1), threshold above 0, weight None or (out, in)."""
    x, q = checks.finite("x", last_axis("x", checks.as_float("x", x))), checks.as_integer("q", np.asarray(q))
    q = checks.within("q", _axes("q", q, "out", "in"), -128, 127).astype(np.int8, copy=False)
    checks.same_shape("q", q, f"x of shape {x.shape}", (len(q), x.shape[-1]))
    scale = checks.same_shape("scale", checks.as_float_like("scale", scale, x), "q", (len(q), 1))
    if not (limit := checks.number("threshold", threshold)) > 0:
        raise GridError(f"threshold={threshold}; a number above 0 is needed, infinity for no outliers")
    if weight is not None:
        weight = checks.same_shape("weight", checks.as_float_like("weight", weight, x), "q", q.shape)
    return x, q, checks.grid_scale(scale, scale), limit, weight


def integer_matmul(q, zero_point, packed, weight_zero_point, bits):
    """q (..., in) whole numbers, zero_point for (..., 1), packed as above, weight_zero_point (out, groups)."""
    q = checks.within_limit("q", last_axis("q", checks.as_integer("q", q)))
    zero_point = checks.grid_zero_point(zero_point, (*q.shape[:-1], 1))
    _, packed, bits = _with_packed(np.empty(q.shape, np.float32), packed, checks.bit_width(bits))
    groups = _axes("weight_zero_point", np.asarray(weight_zero_point), "out", "groups").shape[1]
    _dividing("weight_zero_point", groups, q.shape[-1])
    weight_zero_point = checks.grid_zero_point(weight_zero_point, (len(packed), groups))
    return q, zero_point, packed, weight_zero_point, bits


def rms_norm(x, weight, eps):
    """x (..., D), weight (D,), eps a number above 0."""
    x = last_axis("x", checks.as_float("x", x))
    return (
        x,
        vector("weight", weight, x, x.shape[-1]),
        x.dtype.type(positive("eps", x.dtype.type(positive("eps", eps)))),
    )


def layer_norm(x, weight, bias, eps):
    """x, weight and eps as rms_norm has them, bias of the shape of weight."""
    x, weight, eps = rms_norm(x, weight, eps)
    return x, weight, vector("bias", bias, x, x.shape[-1]), eps


def rope(x, positions, frequencies):
    """x (..., d) with d even, integer positions that broadcast to (...), frequencies float64 (d / 2,)."""
    x = last_axis("x", checks.as_float("x", x))
    frequencies = np.asarray(frequencies)
    if frequencies.dtype != np.float64:
        raise DtypeError(f"frequencies is {frequencies.dtype}; float64 is needed")
    if x.shape[-1] % 2:
        raise ShapeError(f"x has a last axis of {x.shape[-1]}; an even number is needed")
    checks.same_shape("frequencies", frequencies, f"x of shape {x.shape}", (x.shape[-1] // 2,))
    positions = checks.as_integer("positions", positions)
    return x, checks.broadcasts("positions", positions, x.shape[:-1]), frequencies


def rope_frequencies(head_dim, theta, scaling):
    """head_dim even, theta above 0, scaling None or the numbers of llama3."""
    if isinstance(head_dim, bool) or not isinstance(head_dim, (int, np.integer)) or head_dim < 2 or head_dim % 2:
        raise ShapeError(f"head_dim={head_dim}; an even number from 2 on is needed")
    if scaling is not None:
        if scaling.get("rope_type") != "llama3":
            raise GridError(f"rope_type is {scaling.get('rope_type')!r}; 'llama3', or scaling None, is supported")
        scaling = {key: positive(key, scaling.get(key)) for key in LLAMA3}
        low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
        if low >= high:
            raise GridError(f"low_freq_factor={low}; less than high_freq_factor={high} is needed")
    return int(head_dim), positive("theta", theta), scaling


def attention_scores(q, k):
    """q (B, K, R, T, d), k (B, K, S, d), T <= S, both of one dtype."""
    q = _axes("q", checks.as_float("q", q), "B", "K", "R", "T", "d")
    k = _axes("k", checks.as_float_like("k", k, q), "B", "K", "S", "d")
    B, K, _, T, d = q.shape
    S = k.shape[2]
    checks.same_shape("k", k, f"q of shape {q.shape}", (B, K, S, d))
    if T > S or S < 1 or d < 1:
        raise ShapeError(f"q has {T} positions of width {d}, k has {S}; T <= S, 1 <= S and 1 <= d are needed")
    return q, k


def causal_attention(q, k, v):
    """q and k as attention_scores has them, v of the shape and dtype of k."""
    q, k = attention_scores(q, k)
    return q, k, checks.same_shape("v", checks.as_float_like("v", v, q), "k", k.shape)


def attention(q, k, v, mask):
    """q (B, H, T, d), k and v (B, H, S, d), mask (B, S) of truth values."""
    q = _axes("q", checks.as_float("q", q), "B", "H", "T", "d")
    k, v = (_axes(name, checks.as_float_like(name, x, q), "B", "H", "S", "d") for name, x in (("k", k), ("v", v)))
    B, H, _, d = q.shape
    S = k.shape[2]
    checks.same_shape("k", k, f"q of shape {q.shape}", (B, H, S, d))
    if S < 1 or d < 1:
        raise ShapeError(f"k has {S} positions of width {d}; 1 and more are needed")
    return q, k, checks.same_shape("v", v, "k", k.shape), truth("mask", mask, (B, S))


def swiglu(gate, up):
    """gate and up of one shape and dtype."""
    gate = checks.as_float("gate", gate)
    return gate, checks.same_shape("up", checks.as_float_like("up", up, gate), "gate", gate.shape)


def cross_entropy(logits, targets):
    """logits (..., V), targets (...) in 0..V-1."""
    logits = last_axis("logits", checks.as_float("logits", logits))
    targets = indices("targets", targets, logits.shape[-1])
    return logits, checks.same_shape("targets", targets, "logits", logits.shape[:-1])


def incoming(g, x, shape):
    """A gradient: the dtype of x, exactly this shape."""
    return checks.same_shape("g", np.asarray(checks.as_float_like("g", g, x)), "the result", shape)


def indices(name, value, length):
    """Integers that each name one of `length` entries; negative ones do not count from the end."""
    value = checks.as_integer(name, value)
    if value.size and not (value.min() >= 0 and value.max() < length):
        worst = value.min() if value.min() < 0 else value.max()
        raise ShapeError(f"{name} holds {worst}; 0..{length - 1} is needed")
    return value


def positive(name, value):
    """A finite number above 0."""
    value = checks.number(name, value)
    if not 0 < value < math.inf:
        raise GridError(f"{name}={value}; a finite number above 0 is needed")
    return value


def vector(name, value, x, length):
    """A vector of this length, in the dtype of x."""
    return checks.same_shape(name, checks.as_float_like(name, value, x), "its partner", (length,))


def truth(name, value, shape):
    """Truth values of this shape; numbers are refused, for what they mean differs between programs."""
    value = np.asarray(value)
    if value.dtype != np.bool_:
        raise DtypeError(f"{name} is {value.dtype}; bool is needed")
    return checks.same_shape(name, value, "its partner", shape)


def _with_packed(x, packed, bits):
    """x (..., in), and rows of as many bytes as in codes of this width need."""
    x, packed = last_axis("x", checks.as_float("x", x)), _axes("packed", np.asarray(packed), "out", "bytes")
    if packed.dtype != np.uint8:
        raise DtypeError(f"packed is {packed.dtype}; uint8 is needed")
    size = -(-x.shape[-1] * bits // 8)
    checks.same_shape("packed", packed, f"x of width {x.shape[-1]} at {bits} bits", (len(packed), size))
    return x, packed, bits


def _dividing(name, groups, length):
    if groups < 1 or length % groups:
        raise ShapeError(f"{name} has {groups} groups a row; a number that divides {length} is needed")


def _axes(name, x, *axes):
    if x.ndim != len(axes):
        raise ShapeError(f"{name} has shape {x.shape}; the axes ({', '.join(axes)}) are needed")
    return x
