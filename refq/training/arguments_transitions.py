"""The arguments of what schedules weight transitions, each by its rule, for both packages."""

import numpy as np

from refq import checks
from refq.errors import DtypeError, GridError
from refq.ops.arguments import positive
from refq.training.arguments_optimizers import at_least_0, below_1, number, schedule

GROWTHS = ("constant", "linear", "sine")


def codes(q, previous):
    """Integer codes of two steps, of one shape."""
    q, previous = checks.as_integer("q", q), checks.as_integer("previous", previous)
    return q, checks.same_shape("previous", previous, "q", q.shape)


def share(name, value):
    """A number from 0 to 1."""
    if not 0 <= number(name, value) <= 1:
        raise GridError(f"{name}={value}; 0..1 is needed")
    return float(value)


def controller(learning_rate, target, running):
    """A learning rate and a target, at least 0, and a running rate, 0..1."""
    return at_least_0("learning_rate", learning_rate), at_least_0("target", target), share("running", running)


def distance(before, position, q, previous, momentum):
    """A distance or None, a finite position, codes of two steps: one shape, the floats of one dtype."""
    position = checks.finite("position", checks.as_float("position", position))
    q, previous = codes(checks.same_shape("q", q, "position", position.shape), previous)
    if before is not None:
        before = checks.same_shape("distance", checks.as_float_like("distance", before, position), "q", q.shape)
    return before, position, q, previous, below_1("momentum", momentum)


def threshold(step, steps, warmup, growth, final):
    """The numbers of a schedule, one of GROWTHS, and a final threshold, at least 0."""
    if growth not in GROWTHS:
        raise GridError(f"growth={growth!r}; one of {', '.join(GROWTHS)} is needed")
    return *schedule(step, steps, warmup), at_least_0("final", final)


def marks(name, value, shape):
    """A bool array of this shape."""
    value = np.asarray(value)
    if value.dtype != bool:
        raise DtypeError(f"{name} is {value.dtype}; bool is needed")
    return checks.same_shape(name, value, "its partner", shape)


def weights(arrays):
    """An object of float arrays, finite, of one dtype; at least one number that is not 0."""
    if not isinstance(arrays, dict):
        raise DtypeError(f"weights is {type(arrays).__name__}; an object, name -> array, is needed")
    arrays = {name: checks.finite(f"weights[{name!r}]", checks.as_float("weights", w)) for name, w in arrays.items()}
    kinds = sorted({str(w.dtype) for w in arrays.values()})
    if len(kinds) > 1:
        raise DtypeError(f"weights are {' and '.join(kinds)}; one dtype is needed")
    if not any(w.any() for w in arrays.values()):
        raise GridError("all weights are 0; their size cannot tell how far to move")
    return arrays


def differences(plus, minus, epsilon, strength):
    """Gradients on both sides of the weights, of one shape and dtype; epsilon above 0, strength at least 0."""
    plus = checks.as_float("plus", plus)
    minus = checks.same_shape("minus", checks.as_float_like("minus", minus, plus), "plus", plus.shape)
    return plus, minus, positive("epsilon", epsilon), at_least_0("strength", strength)
