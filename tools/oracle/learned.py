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
        terms[place].append(Real(v) * Real(s))
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
