"""The operations of encoders at 50 digits."""

from tools.oracle.numbers import Array, rows
from tools.oracle.ops import bounded_list
from tools.oracle.reals import Real, bounded, constant, gradients, lift, sqrt, total


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


def _mean(numbers):
    return total(numbers) / Real(len(numbers))
