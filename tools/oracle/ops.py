"""The operations of the models at 50 digits."""

import functools
from fractions import Fraction

from tools.oracle.numbers import Array, Bounded, rounded, rows
from tools.oracle.reals import (
    UNIT,
    Real,
    bounded,
    constant,
    exp,
    gradients,
    lift,
    log,
    mp,
    shifted,
    sqrt,
    total,
)

FLOOR = Fraction(1, 2**120)  # silu may give 0 where its result is smaller: exp(-x) overflows for x < -88


def embed(tokens, weight):
    table = rows(weight)
    return Array(weight.dtype, (*tokens.shape, weight.shape[1]), [v for t in tokens.data for v in table[t]])


def embed_vjp(g, tokens, weight):
    [gweight] = gradients(lambda weight: embed(tokens, weight), g, (weight,))
    return bounded(gweight)


def linear(x, weight, bias=None):
    return bounded(linear_of(lift(x), lift(weight), lift(bias)))


def linear_vjp(g, x, weight, bias=None):
    return bounded_list(gradients(linear_of, g, (x, weight, bias)))


def linear_of(x, weight, bias=None):
    biases = bias.data if bias else [None] * weight.shape[0]
    data = [
        dot(row, w) if b is None else dot(row, w) + b
        for row in rows(x)
        for w, b in zip(rows(weight), biases, strict=True)
    ]
    return Array("float32", (*x.shape[:-1], weight.shape[0]), data)


def quantized_matmul(x, packed, scale, zero_point, bits):
    weight = _codes(packed, scale, zero_point, bits, x.shape[-1])
    data = [_product(zip(row, w, strict=True)) for row in rows(x) for w in weight]
    return bounded(Array("float32", (*x.shape[:-1], len(weight)), data))


def quantized_matmul_vjp(g, x, packed, scale, zero_point, bits):
    columns = list(zip(*_codes(packed, scale, zero_point, bits, x.shape[-1]), strict=True))
    data = [_product(zip(row, column, strict=True)) for row in rows(g) for column in columns]
    return bounded(Array("float32", x.shape, data))


def rms_norm(x, weight, eps):
    return bounded(rms_norm_of(lift(x), lift(weight), eps))


def rms_norm_vjp(g, x, weight, eps):
    return bounded_list(gradients(lambda x, weight: rms_norm_of(x, weight, eps), g, (x, weight)))


def rms_norm_of(x, weight, eps):
    data = []
    for row in rows(x):
        root = sqrt(total([v * v for v in row]) / Real(len(row)) + constant(eps))
        data += [v / root * w for v, w in zip(row, weight.data, strict=True)]
    return Array("float32", x.shape, data)


def rope_frequencies(head_dim, theta, scaling=None):
    values = [frequency(i, head_dim, theta, scaling) for i in range(head_dim // 2)]
    exact = [Fraction(int(v * 2**200), 2**200) for v in values]
    within = [rounded(Fraction(f"{float(8 * v / 2**53):.1e}")) for v in exact]  # 4 units in the last place, float64
    n = (head_dim // 2,)
    return Bounded(Array("float64", n, [rounded(v, "float64") for v in exact]), Array("float32", n, within))


def rope(x, positions, frequencies):
    return bounded(rope_of(lift(x), positions, frequencies))


def rope_vjp(g, x, positions, frequencies):
    [gx] = gradients(lambda x: rope_of(x, positions, frequencies), g, (x,))
    return bounded(gx)


def rope_of(x, positions, frequencies):
    table, half = rows(x), x.shape[-1] // 2
    where = positions.data * (len(table) // len(positions.data))  # broadcast over leading axes
    data = []
    for row, position in zip(table, where, strict=True):
        turns = [_turn(position * Real(f).value) for f in frequencies.data]
        data += [row[i] * c - row[i + half] * s for i, (c, s) in enumerate(turns)]
        data += [row[i + half] * c + row[i] * s for i, (c, s) in enumerate(turns)]
    return Array("float32", x.shape, data)


def attention_scores(q, k):
    return bounded(attention_scores_of(lift(q), lift(k), Real("-inf")))


def attention_scores_vjp(g, q, k):
    return bounded_list(gradients(lambda q, k: attention_scores_of(q, k, Real(0)), g, (q, k)))


def attention_scores_of(q, k, hidden):
    B, K, R, T, d = q.shape
    S = k.shape[2]
    keys, data, scale = rows(k), [], constant(1 / mp.sqrt(d))
    for n, query in enumerate(rows(q)):
        head, seen = n // (R * T) * S, S - T + n % T + 1
        data += [dot(query, key) * scale for key in keys[head : head + seen]] + [hidden] * (S - seen)
    return Array("float32", (*q.shape[:-1], S), data)


def causal_attention(q, k, v):
    return bounded(causal_attention_of(lift(q), lift(k), lift(v)))


def causal_attention_vjp(g, q, k, v):
    return bounded_list(gradients(causal_attention_of, g, (q, k, v)))


def causal_attention_of(q, k, v):
    B, K, R, T, d = q.shape
    S = k.shape[2]
    queries, keys, values, data = rows(q), rows(k), rows(v), []
    scale = constant(1 / mp.sqrt(d))
    for n, query in enumerate(queries):
        head, seen = n // (R * T) * S, S - T + n % T + 1
        p = softmax_row([dot(query, key) * scale for key in keys[head : head + seen]])
        data += [dot(p, column) for column in zip(*values[head : head + seen], strict=True)]
    return Array("float32", q.shape, data)


def silu(x):
    return bounded(silu_of(lift(x)), FLOOR)


def silu_vjp(g, x):
    [gx] = gradients(silu_of, g, (x,))
    return bounded(gx, FLOOR)


def silu_of(x):
    return Array("float32", x.shape, [v * _sigmoid(v) for v in x.data])


def swiglu(gate, up):
    return bounded(swiglu_of(lift(gate), lift(up)), FLOOR)


def swiglu_vjp(g, gate, up):
    return bounded_list(gradients(swiglu_of, g, (gate, up)), FLOOR)


def swiglu_of(gate, up):
    return Array("float32", gate.shape, [s * u for s, u in zip(silu_of(gate).data, up.data, strict=True)])


def softmax(x):
    return bounded(_by_row(softmax_row, lift(x)))


def softmax_vjp(g, x):
    [gx] = gradients(lambda x: _by_row(softmax_row, x), g, (x,))
    return bounded(gx)


def log_softmax(x):
    return bounded(_by_row(_log_softmax_row, lift(x)))


def log_softmax_vjp(g, x):
    [gx] = gradients(lambda x: _by_row(_log_softmax_row, x), g, (x,))
    return bounded(gx)


def cross_entropy(logits, targets):
    return bounded(cross_entropy_of(lift(logits), targets))


def cross_entropy_vjp(g, logits, targets):
    [glogits] = gradients(lambda logits: cross_entropy_of(logits, targets), g, (logits,))
    return bounded(glogits)


def cross_entropy_of(logits, targets):
    data = [-_log_softmax_row(row)[target] for row, target in zip(rows(logits), targets.data, strict=True)]
    return Array("float32", targets.shape, data)


def dot(a, b):
    """Sum of the products of two vectors."""
    return total([p * q for p, q in zip(a, b, strict=True)])


def softmax_row(row):
    """Softmax of a list."""
    powers = [exp(r) for r in shifted(row)]
    whole = total(powers)
    return [p / whole for p in powers]


def frequency(i, head_dim, theta, scaling):
    """Angle a position of pair i."""
    f = Real(Fraction(theta)).value ** (-mp.mpf(2 * i) / head_dim)
    if scaling is None:
        return f
    factor, low, high, original = (
        Real(Fraction(scaling[key])).value
        for key in ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
    )
    wavelength = 2 * mp.pi / f
    if wavelength < original / high:
        return f
    if wavelength > original / low:
        return f / factor
    smooth = (original / wavelength - low) / (high - low)
    return (1 - smooth) * f / factor + smooth * f


def bounded_list(arrays, floor=0):
    """Several results: lists of values and of bounds, None where there is none."""
    pairs = [(None, None) if a is None else bounded(a, floor) for a in arrays]
    return Bounded([value for value, _ in pairs], [within for _, within in pairs])


def _log_softmax_row(row):
    differences = shifted(row)
    whole = log(total([exp(r) for r in differences]))
    return [r - whole for r in differences]


def _sigmoid(x):
    power = exp(x if x.value < 0 else -x)
    return (power if x.value < 0 else Real(1)) / (Real(1) + power)


def _by_row(function, x):
    return Array("float32", x.shape, [v for row in rows(x) for v in function(row)])


def _turn(angle):
    """cos and sin, computed in float64 and rounded once to float32."""
    double = (abs(angle) + 1) * mp.mpf(2) ** -50
    return [Real(v, UNIT * abs(v) + double) for v in _cos_sin(angle)]


@functools.cache
def _cos_sin(angle):
    return mp.cos(angle), mp.sin(angle)


def _codes(packed, scale, zero_point, bits, length):
    """Per output row the triples (q, zero_point, scale) of its weights, out of the little-endian bit stream."""
    weight, size = [], length // scale.shape[1]
    for row, scales, zeros in zip(rows(packed), rows(scale), rows(zero_point), strict=True):
        stream = sum(byte << (8 * i) for i, byte in enumerate(row))
        unsigned = [stream >> (bits * i) & (2**bits - 1) for i in range(length)]
        signed = [u - 2**bits if u >= 2 ** (bits - 1) else u for u in unsigned]
        weight.append([(q, zeros[i // size], scales[i // size]) for i, q in enumerate(signed)])
    return weight


def _product(pairs):
    """Sum of x * (q - z) * s; scale and zero point may be applied to each weight or once a group."""
    pairs = list(pairs)
    value = sum((x * (q - z) * s for x, (q, z, s) in pairs), Fraction(0))
    size = sum((abs(x * s) * (abs(q) + abs(z)) for x, (q, z, s) in pairs), Fraction(0))
    return Real(value, (len(pairs) + 3) * UNIT * Real(size).value)
