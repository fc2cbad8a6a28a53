"""What linear layers multiply in place of their inputs, with the slopes of its surrogates.

The first pass fixes codes and slopes. Later passes keep them: a difference of the loss then has the slopes of the rule.
"""

from tools.oracle import grids
from tools.oracle.numbers import Array, rows
from tools.oracle.reals import UNIT, Real, mp, settled
from tools.oracle.student import CLEAR, INPUT_SCALE, INPUT_ZERO_POINT

NEAR = CLEAR.numerator / mp.mpf(CLEAR.denominator)


class Inputs:
    """A function of (input, name of its layer), for one pass after the other; bits: None leaves inputs as they are."""

    def __init__(self, bits):
        self.bits, self.kept, self.replay, self.weights = bits, [], None, None

    def begin(self, weights):
        """Before each pass, with its weights."""
        self.replay, self.weights = iter(self.kept) if self.kept else None, weights
        return self

    def __call__(self, x, layer):
        if self.bits is None:
            return x
        step = self.weights.get(layer + INPUT_SCALE)
        step = step and step.data[0]
        if self.replay is None:
            data = [y for row in rows(x) for y in (self._token(row) if step is None else self._fixed(row, step, layer))]
            self.kept.append([_line(r, step, y) for r, y in zip(x.data, data, strict=True)])
            return x._replace(data=data)
        s = step.value if step else 0
        lines = zip(x.data, next(self.replay), strict=True)
        return x._replace(data=[Real(a * r.value + b * s + c) for r, (a, b, c) in lines])

    def _token(self, row):
        """A dynamic grid: straight through, the grid is a constant."""
        safe, (qmin, qmax) = _settled_row(row), grids.integer_range(self.bits)
        lo, hi = min(0, *(r.value for r in row)), max(0, *(r.value for r in row))
        scale, error = (hi - lo) / (qmax - qmin), 2 * max(r.error for r in safe)
        _check(2 * error, scale)  # of t = x / scale, at most
        zero_point = min(max(qmin - _clear(lo / scale), qmin), qmax)
        for r in row:
            u = _clear(r.value / scale) + zero_point
            code = min(max(u, qmin), qmax) - zero_point
            own = abs(code) * error / (qmax - qmin) + 3 * UNIT * abs(code * scale)
            yield Real(code * scale, own, ((r, lambda g: g),) if qmin <= u <= qmax else ())

    def _fixed(self, row, step, layer):
        """A static grid: lsq, whose step has a slope too."""
        zero_point = int(self.weights[layer + INPUT_ZERO_POINT].data[0].value)
        low, high = (end - zero_point for end in grids.integer_range(self.bits))
        _check(max(r.error for r in _settled_row(row)), step.value)
        for r in row:
            t = r.value / step.value
            if min(abs(t - low), abs(t - high)) < NEAR:
                raise ArithmeticError(f"{t} steps are too near to an end of the grid")
            inside, code = low < t < high, min(max(_clear(t), low), high)
            slope = Real(code) - r / step if inside else Real(code)
            parents = ((step, lambda g, slope=slope: g * slope),) + (((r, lambda g: g),) if inside else ())
            yield Real(code * step.value, 2 * UNIT * abs(code * step.value), parents)


def _settled_row(row):
    return settled(Array("float32", (len(row),), row)).data


def _line(r, step, y):
    """Slopes with respect to an input and its step, and the rest of the result."""
    slopes = {id(parent): rule(Real(1)).value for parent, rule in y.parents}
    a, b = slopes.get(id(r), 0), slopes.get(id(step), 0)
    return a, b, y.value - a * r.value - b * (step.value if step else 0)


def _check(error, step):
    if error > step * NEAR:
        raise ArithmeticError(f"a step of {step} is too small for an error of {error}")


def _clear(t):
    """The nearest integer of what is no tie, and not nearly one."""
    if abs(t - mp.floor(t) - 0.5) < NEAR:
        raise ArithmeticError(f"{t} steps are too near to a tie")
    return int(mp.nint(t))
