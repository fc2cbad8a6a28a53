"""Grids that learn: forward values exact, the sums of gradients with what their order may cost."""

from fractions import Fraction

from tools.oracle import grids
from tools.oracle.numbers import Array, as_array, clip, elementwise, nearest_even, rounded, rows
from tools.oracle.ops import bounded_list
from tools.oracle.reals import Real, bounded, constant, lift, mp, total


def lsq(x, scale, zero_point, qmin, qmax):
    return grids.fake_quantize(x, scale, zero_point, qmin, qmax)


def lsq_vjp(g, x, scale, zero_point, qmin, qmax):
    scale, zero_point = as_array(scale, x.dtype), as_array(zero_point, "int32")
    t = elementwise(lambda v, s: rounded(v / s, x.dtype), x.dtype, x, scale)
    inside = elementwise(lambda v, z: qmin - z < v < qmax - z, "bool", t, zero_point)
    slope = elementwise(lambda v, z: step_slope(v, qmin - z, qmax - z), x.dtype, t, zero_point)
    return bounded_list([lift(masked(g, inside)), shared_sum(g, slope, scale)])


def step_slope(t, low, high):
    """rint(t) - t between the ends, else the nearer end."""
    return nearest_even(t) - t if low < t < high else clip(t, low, high)


def masked(g, inside):
    """g inside, else 0."""
    return g._replace(data=[v if i else Fraction(0) for v, i in zip(g.data, inside.data, strict=True)])


def shared_sum(g, slope, parameter):
    """The sum of g * slope over the elements that share a number of the parameter, in any order."""
    places = Array("int32", parameter.shape, list(range(len(parameter.data))))
    terms = [[] for _ in parameter.data]
    for place, v, s in zip(elementwise(lambda _, p: p, "int32", g, places).data, g.data, slope.data, strict=True):
        v, s = (number if isinstance(number, Real) else Real(number) for number in (v, s))
        terms[place].append(v * s)
    return parameter._replace(data=[total(t) for t in terms])


def lsq_gradient_scale(count, qmax):
    with mp.workprec(53):  # sqrt and division are rounded once each, as in float64
        return Fraction(float(1 / mp.sqrt(count * qmax)))


def lsq_scale(groups, qmax):
    data = []
    for row in rows(groups):
        scale = 2 * mp.fsum(abs(Real(v).value) for v in row) / len(row) / mp.sqrt(qmax)
        data.append(constant(scale) if scale > mp.mpf(2) ** -150 else Real(1))
    return bounded(Array(groups.dtype, (*groups.shape[:-1], 1), data))


def lsq_plus(x, scale, offset, qmin, qmax):
    scale, offset = as_array(scale, x.dtype), as_array(offset, x.dtype)
    t = _offset_quotient(x, scale, offset)

    def real(v, s, b):
        return rounded(rounded(clip(nearest_even(v), qmin, qmax) * s, x.dtype) + b, x.dtype)

    return elementwise(real, x.dtype, t, scale, offset)


def lsq_plus_vjp(g, x, scale, offset, qmin, qmax):
    scale, offset = as_array(scale, x.dtype), as_array(offset, x.dtype)
    t = _offset_quotient(x, scale, offset)
    inside = elementwise(lambda v: qmin < v < qmax, "bool", t)
    slope = elementwise(lambda v: step_slope(v, qmin, qmax), x.dtype, t)
    outside = elementwise(lambda i: Fraction(not i), x.dtype, inside)
    return bounded_list([lift(masked(g, inside)), shared_sum(g, slope, scale), shared_sum(g, outside, offset)])


def _offset_quotient(x, scale, offset):
    def quotient(v, s, b):
        difference = rounded(v - b, x.dtype)
        return difference if isinstance(difference, float) else rounded(difference / s, x.dtype)

    return elementwise(quotient, x.dtype, x, scale, offset)


def lsq_plus_range(groups, qmin, qmax):
    kind, shape = groups.dtype, (*groups.shape[:-1], 1)
    steps = [rounded(rounded(max(row) - min(row), kind) / (qmax - qmin), kind) or Fraction(1) for row in rows(groups)]
    offsets = [rounded(min(row) - rounded(qmin * s, kind), kind) for row, s in zip(rows(groups), steps, strict=True)]
    return [Array(kind, shape, steps), Array(kind, shape, offsets)]


def learned_range(x, minimum, maximum, bits, symmetric):
    _, scale, zero_point, _ = _range_grid(x, minimum, maximum, bits, symmetric)
    return grids.fake_quantize(x, scale, zero_point, *grids.integer_range(bits, symmetric))


def learned_range_vjp(g, x, minimum, maximum, bits, symmetric):
    place, scale, zero_point, follows = _range_grid(x, minimum, maximum, bits, symmetric)
    (qmin, qmax), n = grids.integer_range(bits, symmetric), 2**bits - 1
    t = elementwise(lambda v, s: rounded(v / s, x.dtype), x.dtype, x, scale)
    inside = elementwise(lambda v, z: qmin <= nearest_even(v) + z <= qmax, "bool", t, zero_point)

    def of_maximum(v, z, i, f, m):
        if i:
            return Real(nearest_even(v) - v) / Real(n)
        code = Real(clip(nearest_even(v), qmin - z, qmax - z))
        return (code - Real(m) if f else code) / Real(n)

    a = elementwise(of_maximum, x.dtype, t, zero_point, inside, follows, place)
    b = elementwise(lambda a, i, f: Real(1) - a if f and not i else -a, x.dtype, a, inside, follows)
    ends = as_array(minimum, x.dtype), as_array(maximum, x.dtype)
    sums = [shared_sum(g, slope, end) for slope, end in zip((b, a), ends, strict=True)]
    return bounded_list([lift(masked(g, inside)), *sums])


def _range_grid(x, minimum, maximum, bits, symmetric):
    """Of every element: minimum / scale, scale, zero point, and whether the zero point follows minimum."""
    n, kind = 2**bits - 1, x.dtype
    low, high = (elementwise(lambda _, end: end, kind, x, as_array(e, kind)) for e in (minimum, maximum))
    scale = elementwise(lambda a, b: rounded(rounded(b - a, kind) / n, kind), kind, low, high)
    place = elementwise(lambda a, s: rounded(a / s, kind), kind, low, scale)
    code = elementwise(lambda m: -nearest_even(m), "int32", place)
    zero_point = elementwise(lambda c: 0 if symmetric else clip(c, 0, n), "int32", code)
    return place, scale, zero_point, elementwise(lambda c: not symmetric and 0 <= c <= n, "bool", code)
