"""The arguments of optimizers and schedules, each by its rule, for both packages."""

import math

import numpy as np

from refq import checks
from refq.errors import DtypeError, GridError, ShapeError
from refq.ops.arguments import positive

LAST = 2**53  # step: beyond it float64 does not count


def with_state(w, g, name, state, leading=()):
    """w; g, finite; and a state with the axes `leading` before those of w; all of one dtype, exactly these shapes."""
    w, g, state = shaped(w, g, name, state, leading)
    return w, checks.finite("g", g), state


def shaped(w, g, name, state, leading=()):
    """As with_state, but g may not be finite."""
    w = checks.as_float("w", w)
    g = checks.same_shape("g", checks.as_float_like("g", g, w), "w", w.shape)
    state = checks.as_float_like(name, np.asarray(state), w)
    return w, g, checks.same_shape(name, state, f"w of shape {w.shape}", (*leading, *w.shape))


def rates(learning_rate, weight_decay, dtype, name="learning_rate"):
    """Both, and their product, at least 0 and finite in this dtype; as Python numbers, which take it from an array."""
    rate, decay = at_least_0(name, learning_rate), at_least_0("weight_decay", weight_decay)
    for what, value in ((name, rate), ("weight_decay", decay), (f"{name} * weight_decay", rate * decay)):
        if not value <= float(np.finfo(dtype).max):
            raise GridError(f"{what} is {value:g}; a number that {np.dtype(dtype)} can hold is needed")
    return rate, decay


def adam(step, betas, eps, dtype):
    """step from 1 to LAST, two betas, and eps, which is finite and above 0 in the dtype of w too."""
    if not 1 <= checks.integer("step", step) <= LAST:
        raise GridError(f"step={checks.number('step', step):g}; 1..2**53 is needed: step 0 has no bias to correct")
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:
        raise ShapeError(f"betas={betas!r}; two numbers are needed")
    with np.errstate(over="ignore"):
        positive("eps", dtype.type(number("eps", eps)))
    return int(step), tuple(below_1("beta", beta) for beta in betas), float(eps)


def gradients(arrays):
    """An object of finite float arrays; a wrong number is named with its array."""
    return {name: checks.finite(f"gradients[{name!r}]", g) for name, g in named(arrays).items()}


def named(arrays):
    """An object of float arrays, which may not be finite."""
    if not isinstance(arrays, dict):
        raise DtypeError(f"gradients is {type(arrays).__name__}; an object, name -> array, is needed")
    return {name: checks.as_float(f"gradients[{name!r}]", g) for name, g in arrays.items()}


def max_norm(value):
    """A number above 0; infinity clips nothing."""
    return math.inf if value == math.inf else positive("max_norm", value)


def schedule(step, steps, warmup):
    """0 <= step <= steps, 1 <= steps, 0 <= warmup <= steps."""
    if checks.integer("steps", steps) < 1:
        raise GridError(f"steps={steps}; at least 1 is needed")
    for name, value in (("step", step), ("warmup", warmup)):
        if not 0 <= checks.integer(name, value) <= steps:
            raise GridError(f"{name}={value}; 0..{steps} is needed, as steps={steps}")
    return int(step), int(steps), int(warmup)


def drops(places, steps, factor):
    """Steps at which a rate drops, 0..steps in any order, and the factor, above 0."""
    places = [checks.integer("drops", place) for place in places]
    if places and not 0 <= min(places) <= max(places) <= steps:
        raise GridError(f"drops={places}; each from 0 to steps={steps} is needed")
    return places, positive("factor", factor)


def number(name, value):
    """A finite number, as a Python one."""
    value = checks.number(name, value)
    if not math.isfinite(value):
        raise GridError(f"{name}={value}; a finite number is needed")
    return value


def at_least_0(name, value):
    """A finite number, 0 or more."""
    if number(name, value) < 0:
        raise GridError(f"{name}={value}; 0 or more is needed")
    return float(value)


def below_1(name, value):
    """The weight of the past in an average: 0 <= value < 1."""
    if not 0 <= number(name, value) < 1:
        raise GridError(f"{name}={value}; 0 <= {name} < 1 is needed")
    return float(value)
