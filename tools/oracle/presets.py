"""Exact presets: each float32 operation of the program is one exact operation and one rounding."""

from fractions import Fraction

from tools.oracle.numbers import Array, clip, nearest_even, rounded, rows

EPSILON = Fraction(1, 2**23)
LARGEST = (2 - EPSILON) * 2**127  # of float32


def aimet_range(groups, bits=4, symmetric=True):
    steps = 2**bits - 1
    above, below = steps // 2, steps - steps // 2

    def one(group):
        lo, hi = min(0, *group), max(0, *group)
        extra = EPSILON if rounded(rounded(hi - lo) / steps) < EPSILON else 0
        if symmetric:
            hi, lo = rounded(hi + above * extra), rounded(lo - below * extra)
            step = max(rounded(hi / (above + (steps == 3))), rounded(-lo / below))
            lo, hi = max(rounded(-below * step), -LARGEST), min(rounded(above * step), LARGEST)
        else:
            hi = rounded(hi + steps * extra)
        scale = max(rounded(rounded(hi - lo) / steps), EPSILON)
        return scale, 0 if symmetric else -clip(nearest_even(rounded(lo / scale)), -steps, 0)

    return _grid(groups, one, *((-below, above) if symmetric else (0, steps)))


def aimet_sqnr_range(groups, bits=4, symmetric=True, gamma=3):
    n, gamma = 2**bits - 1, rounded(Fraction(gamma))

    def one(group):
        centres = _bin_centres(sorted(group))
        lo, hi = min(0, *group), max(0, *group)
        hi = max(hi, rounded(lo + n * EPSILON))
        grids = _symmetric_grids(max(hi, -lo), n) if symmetric else _asymmetric_grids(lo, hi, n)
        scale, offset = min(grids, key=lambda grid: _noise(centres, *grid, n, gamma))  # of equal ones the first
        lo = rounded(offset * scale)
        hi = rounded(lo + rounded(n * scale))
        scale = max(rounded(rounded(hi - lo) / n), EPSILON)
        return scale, 0 if symmetric else -clip(nearest_even(rounded(lo / scale)), -n, 0)

    return _grid(groups, one, *((-(n // 2) - 1, n // 2) if symmetric else (0, n)))


def gptq_range(groups, bits=4, symmetric=True):
    steps = 2**bits - 1

    def one(group):
        lo, hi = min(0, *group), max(0, *group)
        if symmetric:
            hi = max(abs(lo), hi)
            lo = -hi if lo < 0 else lo
        if lo == hi == 0:
            lo, hi = -1, 1
        scale = rounded(Fraction(rounded(hi - lo)) / steps)
        return scale, (steps + 1) // 2 if symmetric else nearest_even(rounded(-lo / scale))

    return _grid(groups, one, 0, steps)


def awq_range(groups, bits=4, symmetric=True):
    narrowest = rounded(Fraction(1, 100000))
    qmin, qmax = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if symmetric else (0, 2**bits - 1)

    def one(group):
        if symmetric:
            return rounded(max(narrowest, *map(abs, group)) / qmax), 0
        scale = rounded(max(rounded(max(group) - min(group)), narrowest) / qmax)
        return scale, clip(-nearest_even(rounded(min(group) / scale)), qmin, qmax)

    return _grid(groups, one, qmin, qmax)


def compressed_tensors_range(groups, bits=4, symmetric=True):
    qmin, qmax = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1

    def one(group):
        lo, hi = min(0, *group), max(0, *group)
        if symmetric:
            return rounded(max(-lo, hi) / Fraction(qmax - qmin, 2)) or EPSILON, 0
        scale = rounded(Fraction(rounded(hi - lo)) / (qmax - qmin))
        if scale == 0:  # lo / 0 is minus infinity, and 0 / 0 is NaN, which becomes 0
            return EPSILON, qmax if lo < 0 else 0
        return scale, nearest_even(clip(rounded(qmin - rounded(lo / scale)), qmin, qmax))

    return _grid(groups, one, qmin, qmax)


def q4_0_range(groups):
    return _grid(groups, lambda group: (rounded(Fraction(max(group, key=abs)) / -8), 8), 0, 15)


def q4_1_range(groups):
    def one(group):
        return rounded(Fraction(rounded(max(group) - min(group))) / 15), min(group)

    return _grid(groups, one, 0, 15, second="float32")


def q8_0_range(groups):
    return _grid(groups, lambda group: (rounded(Fraction(max(map(abs, group))) / 127), 0), -127, 127)


def hqq_range(groups):
    def one(group):
        width = rounded(max(group) - min(group))
        inverse = Fraction(1)
        if width > rounded(Fraction(1, 10000)):
            inverse = min(rounded(15 * rounded(1 / Fraction(width))), Fraction(20000))
        return rounded(1 / inverse), nearest_even(rounded(-min(group) * inverse))

    return _grid(groups, one, 0, 15)


def _grid(groups, one, qmin, qmax, second="int32"):
    """scale and zero point (or minimum) of each group, (..., 1), and the code limits."""
    found = [one(group) for group in rows(groups)]
    shape = (*groups.shape[:-1], 1)
    scales, points = ([pair[i] for pair in found] for i in (0, 1))
    return [Array("float32", shape, scales), Array(second, shape, points), qmin, qmax]


def _bin_centres(x):
    left, right = x[0], x[-1]
    if left == right:
        left, right = rounded(left - Fraction(1, 2)), rounded(right + Fraction(1, 2))
    step = rounded(Fraction(rounded(right - left)) / 2048)
    end, width = (rounded(rounded(count * step + left) - left) for count in (2048, 1))
    if end == 0:
        return [left] * len(x)
    bins = [min(int(rounded(2048 * rounded(v - left) / Fraction(end))), 2047) for v in x]
    first = rounded(left + rounded(Fraction(width) / 2))
    return [rounded(first + rounded(width * b)) for b in bins]


def _symmetric_grids(absmax, n):
    widest = rounded(2 * Fraction(absmax) / n)
    for i in range(1, 102):
        yield max(rounded(rounded(widest * i) / 100), EPSILON), -(n + 1) // 2


def _asymmetric_grids(lo, hi, n):
    w = rounded(Fraction(rounded(hi - lo)) / n)
    seen = nearest_even(rounded(lo / w))
    low = rounded(w * seen)
    high = rounded(low + rounded(w * n))
    places = min(n, 19)
    for j in range(1, 18):
        d = rounded(w * j / 16)
        for k in (*(nearest_even(Fraction(i * n, places)) - n for i in range(places + 1)), seen):
            first = max(rounded(d * k), low)
            last = min(rounded(rounded(d * k) + rounded(d * n)), high)
            scale = max(rounded(Fraction(rounded(last - first)) / n), EPSILON)
            yield scale, nearest_even(rounded(first / scale))


def _noise(centres, scale, offset, n, gamma):
    total = Fraction(0)
    for c in centres:
        u = nearest_even(rounded(rounded(c / scale) - offset))
        q = clip(u, 0, n)
        error = rounded(rounded((q + offset) * scale) - c)
        square = rounded(error * error)
        total = rounded(total + (square if q == u else rounded(square * gamma)), "float64")
    return total
