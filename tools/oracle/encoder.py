"""The operations of encoders at 50 digits."""

from tools.oracle.numbers import Array, rows
from tools.oracle.ops import bounded_list, dot, softmax_row
from tools.oracle.reals import Real, bounded, constant, erf, gradients, lift, mp, sqrt, total
from tools.oracle.reals import tanh as hyperbolic


def layer_norm(x, weight, bias, eps):
    return bounded(layer_norm_of(lift(x), lift(weight), lift(bias), eps))


def layer_norm_vjp(g, x, weight, bias, eps):
    return bounded_list(gradients(lambda *arrays: layer_norm_of(*arrays, eps), g, (x, weight, bias)))


def layer_norm_of(x, weight, bias, eps):
    data = []
    for row in rows(x):
        centre = _mean(row)
        centred = [v - centre for v in row]
        root = sqrt(_mean([c * c for c in centred]) + constant(eps))
        data += [c / root * w + b for c, w, b in zip(centred, weight.data, bias.data, strict=True)]
    return Array("float32", x.shape, data)


def gelu(x):
    return bounded(gelu_of(lift(x)))


def gelu_vjp(g, x):
    return bounded(gradients(gelu_of, g, (x,))[0])


def gelu_of(x):
    root = constant(mp.sqrt(2))
    return Array("float32", x.shape, [v * ((Real(1) + erf(v / root)) / Real(2)) for v in x.data])


def gelu_tanh(x):
    return bounded(gelu_tanh_of(lift(x)))


def gelu_tanh_vjp(g, x):
    return bounded(gradients(gelu_tanh_of, g, (x,))[0])


def gelu_tanh_of(x):
    cubic, factor = constant(mp.mpf("0.044715")), constant(mp.sqrt(2 / mp.pi))
    turns = [hyperbolic(factor * (v + cubic * (v * v * v))) for v in x.data]
    return Array("float32", x.shape, [v / Real(2) * (Real(1) + t) for v, t in zip(x.data, turns, strict=True)])


def tanh(x):
    return bounded(tanh_of(lift(x)))


def tanh_vjp(g, x):
    return bounded(gradients(tanh_of, g, (x,))[0])


def tanh_of(x):
    return Array("float32", x.shape, [hyperbolic(v) for v in x.data])


def attention(q, k, v, mask):
    return bounded(attention_of(lift(q), lift(k), lift(v), mask))


def attention_vjp(g, q, k, v, mask):
    return bounded_list(gradients(lambda *arrays: attention_of(*arrays, mask), g, (q, k, v)))


def attention_of(q, k, v, mask):
    B, H, T, d = q.shape
    keys, values, visible, data = rows(k), rows(v), rows(mask), []
    scale, S = constant(1 / mp.sqrt(d)), k.shape[2]
    for n, query in enumerate(rows(q)):
        head, seen = n // T * S, [s for s in range(S) if visible[n // (H * T)][s]]
        p = softmax_row([dot(query, keys[head + s]) * scale for s in seen]) if seen else []
        data += [dot(p, [values[head + s][j] for s in seen]) for j in range(d)]
    return Array("float32", q.shape, data)


def _mean(numbers):
    return total(numbers) / Real(len(numbers))
