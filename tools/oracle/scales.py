"""Scales of channels and their folding, in exact rationals or at 50 digits."""

import math
from fractions import Fraction

from tools.oracle import grids, presets
from tools.oracle.numbers import Array, Bounded, clip, rounded, rows, ulp
from tools.oracle.reals import bounded, lift, mp, total

CLEAR = Fraction(1, 10**6)  # relative: no two of the least errors are nearer, unless they are equal


def fold(previous, following, scale, shift=None):
    def divided(part):
        width = len(part.data) // len(scale.data)
        return part._replace(data=[rounded(v / scale.data[i // width]) for i, v in enumerate(part.data)])

    before = {"weight": divided(previous["weight"])}
    bias = previous.get("bias")
    if shift is not None:
        bias = bias or shift._replace(data=[0] * len(shift.data))
        bias = bias._replace(data=[rounded(b - z) for b, z in zip(bias.data, shift.data, strict=True)])
    if bias is not None:
        before["bias"] = divided(bias)
    after = [_after(layer, scale, shift) for layer in following]
    exact = {name: part._replace(data=[0] * len(part.data)) for name, part in before.items()}
    return Bounded([before, [value for value, _ in after]], [exact, [within for _, within in after]])


def smooth_scale(x_absmax, w_absmax, alpha=Fraction(1, 2)):
    def one(x, w):
        w = max(w, rounded(Fraction("1e-5"), "float64"))
        return max(_power(x, alpha) / _power(w, 1 - alpha), mp.mpf("1e-5"))

    return _near(x_absmax, [one(x, w) for x, w in zip(x_absmax.data, w_absmax.data, strict=True)])


def awq_scale(x_mean, ratio):
    s = [max(_power(x, ratio), mp.mpf("1e-4")) for x in x_mean.data]
    return _near(x_mean, [v / mp.sqrt(max(s) * min(s)) for v in s])


def os_shift(minimum, maximum):
    halves = [rounded(lo / 2) + rounded(hi / 2) for lo, hi in zip(minimum.data, maximum.data, strict=True)]
    return minimum._replace(data=[rounded(v) for v in halves])


def os_scale(minimum, maximum, threshold):
    t = rounded(threshold)
    ends = zip(minimum.data, maximum.data, strict=True)
    return minimum._replace(data=[max(Fraction(1), rounded(hi / t), rounded(-lo / t)) for lo, hi in ends])


def os_thresholds(maximum, floor=Fraction("0.1")):
    floor, top = rounded(floor), max(maximum.data)
    if top <= floor:
        return Array(maximum.dtype, (1,), [floor])
    steps = max(100, math.floor(top * 2))
    doubles = [_double(_double(_double(top * (steps - k)) + _double(floor * k)) / steps) for k in range(steps + 1)]
    return Array(maximum.dtype, (steps + 1,), [rounded(t) for t in doubles])


def awq_clip(x, w, bits=4, group_size=128, symmetric=False):
    limits = []
    for row in rows(w):
        for start in range(0, len(row), group_size):
            inputs = [token[start : start + group_size] for token in rows(x)]
            limits.append(_best_limit(inputs, row[start : start + group_size], bits, symmetric))
    return Array(w.dtype, (w.shape[0], w.shape[1] // group_size), limits)


def _best_limit(inputs, weights, bits, symmetric):
    """The first of the limits of least error, which no other error may be near."""
    shape, largest, found = (1, len(weights)), max(map(abs, weights)), []
    for i in range(10):
        limit = rounded(largest * rounded(1 - Fraction(i, 20)))
        clipped = Array("float32", shape, [clip(v, -limit, limit) for v in weights])
        w_hat = grids.fake_quantize(clipped, *presets.awq_range(clipped, bits, symmetric)).data
        errors = [sum(v * (a - b) for v, a, b in zip(token, w_hat, weights, strict=True)) for token in inputs]
        found.append((sum(e * e for e in errors), limit))
    least = min(error for error, _ in found)
    if any(least < error < least * (1 + CLEAR) for error, _ in found):
        raise ArithmeticError("two errors are too near to each other")
    return next(limit for error, limit in found if error == least)


def _after(layer, scale, shift):
    """A layer that follows, and what each of its numbers may be off."""
    n, weight = len(scale.data), layer["weight"]
    data = [rounded(v * scale.data[i % n]) for i, v in enumerate(weight.data)]
    value = layer | {"weight": weight._replace(data=data)}
    within = {name: part._replace(data=[0] * len(part.data)) for name, part in value.items()}
    if shift is not None:
        moved = lift(shift).data
        sums = [total([a * b for a, b in zip(row, moved, strict=True)]) for row in rows(lift(weight))]
        if "bias" in layer:
            sums = [a + b for a, b in zip(sums, lift(layer["bias"]).data, strict=True)]
        value["bias"], within["bias"] = bounded(Array("float32", (len(sums),), sums))
    return value, within


def _power(x, exponent):
    if x == 0:
        return mp.mpf(1 if exponent == 0 else 0)
    return _real(x) ** _real(Fraction(exponent))


def _real(value):
    """An exact rational as a number of 50 digits."""
    return mp.mpf(value.numerator) / value.denominator


def _near(like, numbers):
    """Numbers of 50 digits as float32; next to a tie the neighbour will do."""
    exact = [Fraction(int(v * mp.mpf(2) ** 200), 2**200) for v in numbers]
    values = [rounded(v) for v in exact]
    near_tie = [abs(abs(v - e) - ulp(v) / 2) < ulp(v) / 2**20 for v, e in zip(values, exact, strict=True)]
    within = [ulp(v) if near else 0 for v, near in zip(values, near_tie, strict=True)]
    return Bounded(like._replace(data=values), like._replace(data=within))


def _double(value):
    return rounded(value, "float64")
