"""Range rules in exact arithmetic, rounded after every operation as SPEC.md says."""

from fractions import Fraction

from tools.oracle.numbers import FORMATS, Array, clip, nearest_even, rounded, rows


def float16_scale(scale):
    def stored(value):
        return rounded(value, "float16") or Fraction(1 if value >= 0 else -1, 2**24)

    return Array(scale.dtype, scale.shape, [stored(value) for value in scale.data])


def minmax(groups, qmin, qmax, symmetric=True, scale_dtype="float32"):
    rule = (groups.dtype, qmin, qmax, symmetric, scale_dtype)
    return _each(groups, lambda x: _grid(*_ends(x), *rule))


def percentile(groups, qmin, qmax, symmetric=True, scale_dtype="float32", percent=Fraction(999, 10)):
    def grid(x):
        if symmetric:
            hi = _quantile([abs(v) for v in x], percent, groups.dtype)
            lo = -hi
        else:
            lo = min(-_quantile([-v for v in x], percent, groups.dtype), 0)
            hi = max(_quantile(x, percent, groups.dtype), 0)
        return _grid(lo, hi, groups.dtype, qmin, qmax, symmetric, scale_dtype)

    return _each(groups, grid)


def mse(groups, qmin, qmax, symmetric=True, scale_dtype="float32"):
    dtype = groups.dtype

    def best(x):
        lo, hi = _ends(x)
        grids = []
        for step in range(80):
            p = rounded(rounded(Fraction(100 - step, 100), "float64"), dtype)
            low, high = rounded(lo * p, dtype), rounded(hi * p, dtype)
            grids.append(_grid(low, high, dtype, qmin, qmax, symmetric, scale_dtype))
        return min(grids, key=lambda grid: _noise(x, grid, dtype, (qmin, qmax), 1))  # of equal ones the first

    return _each(groups, best)


def sqnr(groups, qmin, qmax, symmetric=True, scale_dtype="float32", gamma=3):
    dtype = groups.dtype

    def best(x):
        lo, hi = _ends(x)
        grids = [_grid(lo, hi, dtype, qmin, qmax, symmetric, scale_dtype)]
        if symmetric:
            widest = rounded(2 * rounded(max(-lo, hi) / Fraction(qmax - qmin), dtype), dtype)
            for i in range(1, 102):
                grids.append((_stored(rounded(rounded(widest * i, dtype) / 100, dtype), dtype, scale_dtype), 0))
        else:
            for low, high in _ranges(lo, hi, qmax - qmin, dtype):
                grids.append(_grid(low, high, dtype, qmin, qmax, symmetric, scale_dtype))
        centres = _bin_centres(x, dtype)
        return min(grids, key=lambda grid: _noise(centres, grid, dtype, (qmin, qmax), gamma))

    return _each(groups, best)


def _each(groups, grid):
    found = [grid(row) for row in rows(groups)]
    shape = (*groups.shape[:-1], 1)
    return [Array(groups.dtype, shape, [s for s, _ in found]), Array("int32", shape, [z for _, z in found])]


def _ends(x):
    return min(*x, 0), max(*x, 0)


def _grid(lo, hi, dtype, qmin, qmax, symmetric, scale_dtype):
    width = max(-lo, hi) if symmetric else rounded(hi - lo, dtype)
    step = rounded(Fraction(width) / (qmax if symmetric else qmax - qmin), dtype)
    scale = _stored(step, dtype, scale_dtype) if width else Fraction(1)
    if symmetric:
        return scale, 0
    return scale, clip(qmin - nearest_even(rounded(lo / scale, dtype)), qmin, qmax)


def _stored(step, dtype, scale_dtype):
    stored = "float16" if scale_dtype == "float16" else dtype
    precision, smallest, _ = FORMATS[stored]
    return max(rounded(step, stored), Fraction(2) ** (smallest - precision + 1))


def _quantile(x, percent, dtype):
    x = sorted(x)
    place = rounded(rounded((len(x) - 1) * percent, "float64") / 100, "float64")
    below = int(place)
    high = x[min(below + 1, len(x) - 1)]
    part = rounded(rounded(place - below, "float64") * rounded(high - x[below], "float64"), "float64")
    return rounded(rounded(x[below] + part, "float64"), dtype)


def _bin_centres(x, dtype):
    low = min(x)
    bin_width = rounded(rounded(max(x) - low, dtype) / 2048, dtype)
    if not bin_width:
        return x
    first = rounded(low + rounded(bin_width / 2, dtype), dtype)
    bins = [min(int(rounded(rounded(v - low, dtype) / bin_width, dtype)), 2047) for v in x]
    return [rounded(first + rounded(b * bin_width, dtype), dtype) for b in bins]


def _ranges(lo, hi, steps, dtype):
    widest = _stored(rounded(rounded(hi - lo, dtype) / steps, dtype), dtype, dtype)
    seen = clip(nearest_even(rounded(lo / widest, dtype)), -steps, 0)
    lowest = rounded(widest * seen, dtype)
    highest = rounded(lowest + rounded(widest * steps, dtype), dtype)
    places = min(steps, 19)
    offsets = [nearest_even(Fraction(k * steps, places)) - steps for k in range(places + 1)]
    for j in range(1, 18):
        step = rounded(widest * Fraction(j, 16), dtype)
        for offset in (*offsets, seen):
            low = rounded(step * offset, dtype)
            yield max(low, lowest), min(rounded(low + rounded(step * steps, dtype), dtype), highest)


def _noise(x, grid, dtype, limits, gamma):
    scale, zero_point = grid
    total = Fraction(0)
    for v in x:
        u = nearest_even(rounded(v / scale, dtype)) + zero_point
        q = clip(u, *limits)
        error = rounded(rounded((q - zero_point) * scale, dtype) - v, "float64")
        square = rounded(error * error, "float64")
        total = rounded(total + (square if q == u else rounded(square * gamma, "float64")), "float64")
    return total
