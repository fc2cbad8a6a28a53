"""Fake quantizers with surrogate gradients: exact where they are exact, else at 50 digits."""

from fractions import Fraction

from tools.oracle import grids, ranges
from tools.oracle.learned import lsq_scale, masked, shared_sum
from tools.oracle.numbers import Array, Bounded, as_array, clip, elementwise, nearest_even, rounded
from tools.oracle.ops import bounded_list
from tools.oracle.reals import Real, bounded, exp, gradients, lift, mp, total

FAR = 2**24


def dynamic_fake_quantize(x, bits, symmetric=False):
    return grids.fake_quantize(x, *_token_grid(x, bits, symmetric))


def dynamic_fake_quantize_vjp(g, x, bits, symmetric=False):
    return grids.fake_quantize_vjp(g, x, *_token_grid(x, bits, symmetric))


def normalized_lsq(x, scale, bits, signed=True):
    low, high, gamma = _limits(bits, signed)

    def code(v):
        if bits == 1 and signed:
            return 1 if v >= 0 else -1
        return nearest_even(clip(v, low, high))

    return elementwise(lambda v, s: Fraction(code(_scaled(v, s, gamma)), gamma), x.dtype, x, as_array(scale, x.dtype))


def normalized_lsq_vjp(g, x, scale, bits, signed=True):
    low, high, gamma = _limits(bits, signed)
    scale = as_array(scale, x.dtype)
    inside = elementwise(lambda v, s: low <= _scaled(v, s, gamma) <= high, "bool", x, scale)
    gx = masked(elementwise(lambda v, s: rounded(v / s, x.dtype), x.dtype, g, scale), inside)
    t = masked(elementwise(lambda v, s: rounded(v / s, x.dtype), x.dtype, x, scale), inside)
    sums = shared_sum(masked(g, inside), t, scale)
    divided = [-v / Real(s) for v, s in zip(sums.data, scale.data, strict=True)]
    return bounded_list([lift(gx), sums._replace(data=divided)])


def normalized_lsq_scale(groups, bits, signed=True):
    _, high, gamma = _limits(bits, signed)
    return Bounded(*(array._replace(data=[v * gamma for v in array.data]) for array in lsq_scale(groups, high)))


def sigmoid_ste(x, sharpness):
    return x._replace(data=[Fraction(nearest_even(v)) for v in x.data])


def sigmoid_ste_vjp(g, x, sharpness):
    data = [Real(a) * _stair_slope(Real(v), sharpness) for a, v in zip(g.data, x.data, strict=True)]
    return bounded(Array(x.dtype, x.shape, data))


def soft_clamp(x, minimum, maximum, beta=1):
    return bounded(_soft_clamp(lift(x), *(lift(as_array(v, x.dtype)) for v in (minimum, maximum)), beta))


def soft_clamp_vjp(g, x, minimum, maximum, beta=1):
    ends = [as_array(v, x.dtype) for v in (minimum, maximum)]
    return bounded_list(gradients(lambda *args: _soft_clamp(*args, beta), g, (x, *ends)))


def soft_fake_quantize(x, scale, zero_point, qmin, qmax, sharpness, beta=1):
    scale = as_array(scale, x.dtype)
    v, low, high = _steps(x, scale, zero_point, qmin, qmax)
    codes = _codes(_soft_clamp(lift(v), lift(low), lift(high), beta), low, high)
    return elementwise(lambda r, s: rounded(r * s, x.dtype), x.dtype, codes, scale)


def soft_fake_quantize_vjp(g, x, scale, zero_point, qmin, qmax, sharpness, beta=1):
    scale = as_array(scale, x.dtype)
    slopes = soft_slopes(x, scale, zero_point, qmin, qmax, sharpness, beta)
    gx, terms = ([Real(a) * s for a, s in zip(g.data, part, strict=True)] for part in slopes)
    return bounded_list([x._replace(data=gx), _gathered(terms, x, scale)])


def soft_slopes(x, scale, zero_point, qmin, qmax, sharpness, beta):
    """Of every element: the slope with respect to x, and to its scale."""
    v, low, high = _steps(x, scale, zero_point, qmin, qmax)
    c = _soft_clamp(lift(v), lift(low), lift(high), beta)
    one = x._replace(data=[Fraction(1)] * len(x.data))
    clamp_slope, _, _ = gradients(lambda *args: _soft_clamp(*args, beta), one, (v, low, high))
    slope = [a * _stair_slope(b, sharpness) for a, b in zip(clamp_slope.data, c.data, strict=True)]
    codes = _codes(c, low, high).data
    return slope, [Real(r) - s * Real(b) for r, s, b in zip(codes, slope, v.data, strict=True)]


def _token_grid(x, bits, symmetric):
    qmin, qmax = grids.integer_range(bits)
    return *ranges.minmax(x, qmin, qmax, symmetric), qmin, qmax


def _limits(bits, signed):
    if bits == 1:
        return -1 if signed else 0, 1, 1
    low, high = grids.integer_range(bits, signed)
    return low, high, high + 1


def _scaled(value, scale, gamma):
    return rounded(gamma * rounded(value / scale))


def _stair_slope(x, sharpness):
    """The slope of the staircase at a Real; its whole part is a constant."""
    if sharpness == 0:
        return Real(1)
    sharpness, floor = Real(Fraction(sharpness)), int(mp.floor(x.value))
    s = _sigmoid(sharpness * (x - Real(floor) - Real(Fraction(1, 2))))
    return sharpness * s * (Real(1) - s)


def _soft_clamp(x, minimum, maximum, beta):
    beta = Real(Fraction(beta))

    def value(v, low, high):
        above, below = _sigmoid(beta * (v - low)), _sigmoid(beta * (high - v))
        under, over = _sigmoid(beta * (low - v)), _sigmoid(beta * (v - high))
        return v * above * below + low * under + high * over

    return elementwise(value, "float32", x, minimum, maximum)


def _steps(x, scale, zero_point, qmin, qmax):
    zero_point = as_array(zero_point, "int32")
    v = elementwise(lambda a, s: Fraction(clip(rounded(a / s, x.dtype), -FAR, FAR)), x.dtype, x, scale)
    ends = [elementwise(lambda _, z, q=q: Fraction(q - z), x.dtype, x, zero_point) for q in (qmin, qmax)]
    return v, *ends


def _codes(c, low, high):
    """The nearest codes, which no rounding error may move."""
    codes = []
    for real, a, b in zip(c.data, low.data, high.data, strict=True):
        value = Fraction(str(real.value))
        if abs(value % 1 - Fraction(1, 2)) < Fraction(1, 1000) and a < value < b:
            raise ArithmeticError(f"{float(value)} is too near a tie")
        codes.append(Fraction(clip(nearest_even(value), a, b)))
    return c._replace(data=codes)


def _gathered(terms, x, parameter):
    """The sums of the terms that share a number of the parameter."""
    places = Array("int32", parameter.shape, list(range(len(parameter.data))))
    sums = [[] for _ in parameter.data]
    for place, term in zip(elementwise(lambda _, p: p, "int32", x, places).data, terms, strict=True):
        sums[place].append(term)
    return parameter._replace(data=[total(s) for s in sums])


def _sigmoid(x):
    power = exp(x if x.value < 0 else -x)
    return (power if x.value < 0 else Real(1)) / (Real(1) + power)
