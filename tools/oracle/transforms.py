"""Transforms in exact rationals, rounded where SPEC.md says so."""

import math
from fractions import Fraction

from tools.oracle.numbers import Array, Bounded, rounded, rows, ulp

SMALLEST = Fraction(1, 2**126)


def channel_splits(maximum, threshold):
    step = rounded(threshold, maximum.dtype)
    return Array("int32", maximum.shape, [_splits(m, step) for m in maximum.data])


def threshold_grid(maximum, points=100, ratio=None):
    lo, hi = min(maximum.data), max(maximum.data)
    doubles = [_double(_double(_double(lo * (points - p)) + _double(hi * p)) / points) for p in range(1, points)]
    grid = [_single(t) for t in [*doubles, hi]]
    if ratio is not None:
        grid = [t for t in grid if _extra(maximum, t) <= ratio * len(maximum.data)]
    return Array(maximum.dtype, (len(grid),), grid)


def official_threshold_grid(maximum, ratio=Fraction("0.2")):
    before, found = 0, []
    for t in _descent(maximum, ratio):
        if _extra(maximum, t) != before:
            found.append(t)
        before = _extra(maximum, t)
    return Array(maximum.dtype, (len(found),), found)


def expansion_threshold(maximum, ratio):
    return Array(maximum.dtype, (), [[_single(max(maximum.data)), *_descent(maximum, ratio)][-1]])


def channel_distance(x, w):
    return _pairs(x, w, lambda i, j: _square(x, i, j) * _square(w, i, j) / 4)


def official_channel_score(x, w):
    sums = [sum(column) for column in zip(*rows(w), strict=True)]
    return _pairs(x, w, lambda i, j: (sums[i] + sums[j]) ** 2 * _square(x, i, j))


def bipartite_matching(distance, count, fixed=None):
    table, into = rows(distance), list(range(distance.shape[0]))
    free = [i for i in into if fixed is None or not fixed.data[i]]
    nearest = []
    for a in free:
        if a % 2 == 0:
            nearest.append(min((table[a][b], b, a) for b in free if b % 2))
    for _, b, a in sorted(nearest, key=lambda edge: (edge[0], edge[2]))[:count]:
        into[a] = b
    return Array("int32", (len(into),), into)


def channel_pruning(x, w, count, fixed=None):
    size = [_norm(a) * _norm(b) for a, b in zip(zip(*rows(x), strict=True), zip(*rows(w), strict=True), strict=True)]
    free = [i for i in range(len(size)) if fixed is None or not fixed.data[i]]
    gone = sorted(free, key=lambda i: (size[i], i))[:count]
    return Array("int32", (len(size),), [-1 if i in gone else i for i in range(len(size))])


def assemble(counts, into):
    parts = [i for i, count in enumerate(counts.data) for _ in range(count)]
    kept = [j for j in range(len(parts)) if into.data[j] == j]
    groups = [[parts[j] for j in range(len(parts)) if into.data[j] == k] for k in kept]
    divisors = [len(group) * counts.data[parts[k]] for group, k in zip(groups, kept, strict=True)]
    lists = [i for group in groups for i in group], [len(group) for group in groups], divisors
    return [Array("int32", (len(numbers),), numbers) for numbers in lists]


def reassembly(maximum, distance, threshold, official_order=False):
    counts = channel_splits(maximum, threshold)
    parts = [i for i, count in enumerate(counts.data) for _ in range(count)]
    count, table = len(parts) - len(counts.data), rows(distance)
    if official_order:
        fixed = Array("bool", counts.shape, [c > 1 for c in counts.data])
        merged = bipartite_matching(distance, count, fixed).data
        into = [parts.index(merged[i]) if counts.data[i] == 1 else j for j, i in enumerate(parts)]
    else:
        n = len(parts)
        between = Array(distance.dtype, (n, n), [table[i][j] for i in parts for j in parts])
        into = bipartite_matching(between, count, Array("bool", (n,), [counts.data[i] > 1 for i in parts])).data
    return assemble(counts, Array("int32", (len(parts),), into))


def reassemble_input(x, reassembly):
    return _reassembled(x, reassembly, divide=True)


def reassemble_weight(w, reassembly):
    return _reassembled(w, reassembly, divide=False)


def reassemble_input_vjp(g, x, reassembly):
    return _spread(g, x, reassembly, divide=True)


def reassemble_weight_vjp(g, w, reassembly):
    return _spread(g, w, reassembly, divide=False)


def _reassembled(x, reassembly, divide):
    groups, data = _groups(reassembly), []
    for row in rows(x):
        for group, divisor in zip(groups, reassembly[2].data, strict=True):
            total = _sum(row[i] for i in group)
            data.append(rounded(total / divisor) if divide else total)
    return Array(x.dtype, (*x.shape[:-1], len(groups)), data)


def _spread(g, x, reassembly, divide):
    groups, data = _groups(reassembly), []
    for row in rows(g):
        if divide:
            row = [rounded(v / divisor) for v, divisor in zip(row, reassembly[2].data, strict=True)]
        for i in range(x.shape[-1]):
            data.append(_sum(v for v, group in zip(row, groups, strict=True) for member in group if member == i))
    return Array(x.dtype, x.shape, data)


def _groups(reassembly):
    members = iter(reassembly[0].data)
    return [[next(members) for _ in range(size)] for size in reassembly[1].data]


def _sum(values):
    total = Fraction(0)
    for v in values:
        total = rounded(total + v)
    return total


def _pairs(x, w, function):
    """A number a pair of channels; what differences of large squares may lose in float64 is allowed."""
    channels = x.shape[1]
    data = [function(i, j) for i in range(channels) for j in range(channels)]
    sizes = [[_norm(column) for column in zip(*rows(a), strict=True)] for a in (x, w)]
    most = max(sizes[0]) * max(sizes[1]) * len(w.data)
    within = [0 if v == 0 and most == 0 else rounded(ulp(v) + most / 2**44) for v in data]
    shape = (channels, channels)
    return Bounded(Array(x.dtype, shape, [rounded(v) for v in data]), Array(x.dtype, shape, within))


def _square(a, i, j):
    return sum((row[i] - row[j]) ** 2 for row in rows(a))


def _norm(values):
    return sum(v * v for v in values)


def _splits(m, step):
    return max(1, math.ceil(m / step))


def _extra(maximum, threshold):
    return sum(_splits(m, threshold) - 1 for m in maximum.data)


def _descent(maximum, ratio):
    lo, hi = min(maximum.data), max(maximum.data)
    steps = max(100, math.floor(hi * 2))
    for k in range(1, steps + 1):
        t = _single(_double(_double(_double(hi * (steps - k)) + _double(lo * k)) / steps))
        if _extra(maximum, t) > ratio * len(maximum.data):
            return
        yield t


def _double(value):
    return rounded(value, "float64")


def _single(value):
    return rounded(max(value, SMALLEST))
