"""Real numbers at 50 digits that know their history: it gives their derivatives and the errors of a float32 program.

An operation may be off by half a unit in the last place of its result (exp, log, erf and tanh by 4 units), a sum by
what the worst order of its terms can add. What each of these does to a result follows from the derivative of the result
with respect to it. `bounded` allows twice the total, so that other orders of the steps fit; a mistake is thousands of
times larger.
"""

import contextvars
from fractions import Fraction

import mpmath

from tools.oracle.numbers import Array, Bounded, rounded

mp = mpmath.MPContext()
mp.dps = 50
UNIT, TINY = mp.mpf(2) ** -24, mp.mpf(2) ** -149
STEP = mp.mpf(10) ** -20  # of central differences
QUICK = contextvars.ContextVar("quick", default=False)  # one difference an array where there is one a number


class Real:
    """A value, the rounding error of the operation that made it, and a rule a parent: gradient in, gradient out.

    The error may be given as a function without arguments: most numbers are never asked for theirs.
    """

    __slots__ = ("value", "own", "parents")

    def __init__(self, value, error=0, parents=()):
        if isinstance(value, Fraction):
            value = mp.mpf(value.numerator) / value.denominator
        self.value = value if isinstance(value, mp.mpf) else mp.mpf(value)
        self.own, self.parents = error, parents

    @property
    def error(self):
        return self.own() if callable(self.own) else self.own

    def __add__(self, other):
        return total([self, other])

    def __sub__(self, other):
        return total([self, -other])

    def __neg__(self):
        return Real(-self.value, 0, ((self, lambda g: -g),))

    def __abs__(self):
        return -self if self.value < 0 else self

    def __mul__(self, other):
        return _computed(self.value * other.value, ((self, lambda g: g * other), (other, lambda g: g * self)))

    def __truediv__(self, other):
        parents = ((self, lambda g: g / other), (other, lambda g: -(g * self / other / other)))
        return _computed(self.value / other.value, parents)


def total(terms):
    """The sum of the terms, in any order."""
    value = mp.fsum(t.value for t in terms)

    def error():
        return 0 if mp.isinf(value) else (len(terms) - 1) * UNIT * mp.fsum(abs(t.value) for t in terms)

    return Real(value, error, tuple((t, lambda g: g) for t in terms))


def exp(x):
    result = _computed(mp.exp(x.value), (), 4)
    result.parents = ((x, lambda g: g * result),)
    return result


def log(x):
    return _computed(mp.log(x.value), ((x, lambda g: g / x),), 4)


def sqrt(x):
    result = _computed(mp.sqrt(x.value), ())
    result.parents = ((x, lambda g: g / (result + result)),)
    return result


def erf(x):
    """In float32 it is 1 or -1 beyond 4: what is missing there is its error."""
    error = 0 if abs(x.value) < 4 else mp.erfc(abs(x.value))
    slope = ((x, lambda g: g * constant(2 / mp.sqrt(mp.pi)) * exp(-(x * x))),)
    return Real(mp.erf(x.value), error, slope) if error else _computed(mp.erf(x.value), slope, 4)


def tanh(x):
    result = _computed(mp.tanh(x.value), (), 4)
    result.parents = ((x, lambda g: g * (Real(1) - result * result)),)
    return result


def constant(value):
    """A number that is rounded to float32 before it is used."""
    return _computed(Real(value).value, ())


def shifted(row):
    """Each number minus the largest. What is a function of the differences alone may take the largest as a constant."""
    largest = max(row, key=lambda r: r.value)
    zero = Real(0, 0, ((largest, lambda g: g),))
    return [zero if r is largest else r - Real(largest.value) for r in row]


def lift(array):
    """An exact array as Reals; anything else stays."""
    return Array(array.dtype, array.shape, [Real(v) for v in array.data]) if isinstance(array, Array) else array


def bounded(array, floor=0):
    """Reals to the nearest float32 numbers, and twice the error that each may have, at least `floor`."""
    exact = [_fraction(r.value) for r in array.data]
    values = [rounded(v) for v in exact]
    within = [
        0 if error == 0 and v == e else _upward(max(2 * Fraction(error) + abs(v - e), floor))
        for error, v, e in zip(_errors(array.data), values, exact, strict=True)
    ]
    return Bounded(Array("float32", array.shape, values), Array("float32", array.shape, within))


def settled(array):
    """The same numbers without their history: each carries the whole error that it has by now."""
    return array._replace(data=[Real(r.value, e) for r, e in zip(array.data, _errors(array.data), strict=True)])


def differences(function, arguments, names):
    """Slopes of a number, function(arguments), with respect to every element of those named: central differences."""

    def at(name, i, step):
        data = list(arguments[name].data)
        data[i] = Real(data[i].value + step)
        return function(arguments | {name: arguments[name]._replace(data=data)}).value

    return {
        name: [(at(name, i, STEP) - at(name, i, -STEP)) / (2 * STEP) for i in range(len(arguments[name].data))]
        for name in names
    }


def agree(function, arguments, slopes):
    """The slopes must give a central difference of each array along the direction 1, 2, 3, ..."""

    def at(name, step):
        data = [Real(r.value + step * j) for j, r in enumerate(arguments[name].data, 1)]
        return function(arguments | {name: arguments[name]._replace(data=data)}).value

    for name, reals in slopes.items():
        along = [j * r.value for j, r in enumerate(reals, 1)]
        slope = (at(name, STEP) - at(name, -STEP)) / (2 * STEP)
        if abs(slope - mp.fsum(along)) > (mp.fsum(map(abs, along)) + UNIT) * mp.mpf(10) ** -15:
            raise ArithmeticError(f"the gradients of {name} give a slope of {mp.fsum(along)}, the function {slope}")


def gradients(function, g, arguments):
    """Gradients of sum(g * function(*arguments)), None for None, checked by a central difference."""
    arguments = [lift(a) for a in arguments]
    flows = backward(function(*arguments).data, lift(g).data)
    found = [
        None if a is None else Array("float32", a.shape, [total(flows.get(id(r), [Real(0)])) for r in a.data])
        for a in arguments
    ]
    _check(function, g, arguments, found)
    return found


def _check(function, g, arguments, found):
    """Along the direction 1, 2, 3, ... the gradients must give the slope of the function."""

    def at(step):
        moved, n = [], 0
        for a in arguments:
            moved.append(a and a._replace(data=[Real(r.value + step * (n + j)) for j, r in enumerate(a.data, 1)]))
            n += len(a.data) if a else 0
        return mp.fsum(a.value * b.value for a, b in zip(function(*moved).data, lift(g).data, strict=True))

    slope = (at(STEP) - at(-STEP)) / (2 * STEP)
    along = [j * r.value for j, r in enumerate((r for array in found if array for r in array.data), 1)]
    if abs(slope - mp.fsum(along)) > (mp.fsum(map(abs, along)) + UNIT) * mp.mpf(10) ** -15:
        raise ArithmeticError(f"the gradients give a slope of {mp.fsum(along)}, the function {slope}")


def backward(results, seeds):
    """The gradients that flow into each number, by its id, in a list."""
    flows = {}
    for node, seed in zip(results, seeds, strict=True):
        flows.setdefault(id(node), []).append(seed)
    for node in reversed(_history(results)):
        if id(node) in flows:
            g = total(flows[id(node)])
            for parent, rule in node.parents:
                flows.setdefault(id(parent), []).append(rule(g))
    return flows


def _errors(results):
    """The error of each result: of every number it was made of, times the derivative with respect to that."""
    history = _history(results)
    place = {id(node): i for i, node in enumerate(history)}
    slopes = [[(place[id(p)], float(rule(Real(1)).value)) for p, rule in node.parents] for node in history]
    own = [float(node.error) for node in history]
    errors = []
    for result in results:
        flow, error = [0.0] * len(history), 0.0
        flow[place[id(result)]] = 1.0
        for i in range(place[id(result)], -1, -1):
            if flow[i]:
                error += abs(flow[i]) * own[i]
                for j, slope in slopes[i]:
                    flow[j] += flow[i] * slope
        errors.append(error)
    return errors


def _history(results):
    """All numbers that the results are made of, parents first."""
    order, seen, stack = [], set(), [(r, False) for r in results]
    while stack:
        node, done = stack.pop()
        if done:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack += [(node, True)] + [(parent, False) for parent, _ in node.parents]
    return order


def _computed(value, parents, units=0.5):
    def error():
        return 0 if value == 0 or mp.isinf(value) else 2 * units * max(UNIT * abs(value), TINY / 2)

    return Real(value, error, parents)


def _fraction(value):
    if mp.isinf(value):
        return float(value)
    if abs(value) < mp.mpf(2) ** -1000:  # far below the smallest float32; the exact power of two could be astronomical
        return Fraction(0)
    sign, mantissa, exponent, _ = value._mpf_
    return (-1) ** sign * int(mantissa) * Fraction(2) ** exponent


def _upward(error):
    """Two decimal digits, not less than the error."""
    return rounded(Fraction(f"{float(error * Fraction(106, 100)):.1e}"))
