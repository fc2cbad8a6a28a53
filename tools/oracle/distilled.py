"""The losses of a student at 50 digits, and their slopes with respect to the weights as the model uses them.

The slopes are central differences, one weight at a time. How far a float32 program may be off them follows from the
history of the same slopes by the chain rule, which must agree with the differences.
"""

from typing import NamedTuple

from tools.oracle import grids, losses
from tools.oracle.models import lifted, llama_of
from tools.oracle.numbers import Array, rows
from tools.oracle.ops import cross_entropy_of
from tools.oracle.reals import UNIT, Real, backward, constant, differences, lift, mp, settled, total
from tools.oracle.student import CLEAR, SCALE, ZERO_POINT, check_clear, grid_of, surrogate


class Distilled(NamedTuple):
    """Of one forward and backward pass: Reals that carry their errors, and exact codes."""

    losses: dict
    logits: Array
    codes: dict
    used: dict
    gradients: dict


def distilled(params, batch, config, recipe):
    """A whole recipe, no default is filled in."""
    limits = grids.integer_range(recipe["bits"])
    weights = {name: w for name, w in params.items() if not name.endswith((SCALE, ZERO_POINT))}
    trained = [name for name in weights if name not in recipe["frozen"]]
    cells = {name: grid_of(params, name, *limits) for name in trained if name + SCALE in params}
    for name, grid in cells.items():
        check_clear(grid, name)
        weights[name] = grids.fake_quantize(*grid)._replace(shape=params[name].shape)
    weights, inputs = lifted(weights), _Inputs(recipe["activations"])

    def terms_of(weights):
        logits, caches, seen = llama_of(weights, batch["tokens"], None, config, inputs.begin())
        return _terms(logits, seen | {"keys": [k for k, _ in caches]}, batch, recipe), logits

    terms, logits = terms_of(weights)
    flows = backward([terms["loss"]], [Real(1)])
    chain = {name: [total(flows.get(id(r), [Real(0)])) for r in weights[name].data] for name in trained}
    numbers = [*terms.values(), *logits.data, *(r for part in chain.values() for r in part)]
    numbers = iter(settled(Array("float32", (len(numbers),), numbers)).data)
    terms, logits = {name: next(numbers) for name in terms}, logits._replace(data=[next(numbers) for _ in logits.data])
    slopes = differences(lambda weights: terms_of(weights)[0]["loss"], weights, trained)
    used = {name: weights[name]._replace(data=[_agreed(d, next(numbers)) for d in slopes[name]]) for name in trained}
    codes = {name: grids.quantize(*grid) for name, grid in cells.items()}
    return Distilled(terms, logits, codes, used, _gradients(params, cells, used, recipe))


def _gradients(params, cells, used, recipe):
    gradients = {}
    for name, g in used.items():
        gradients[name] = g
        if name in cells:
            gx, gscale = surrogate(cells[name], g.data, recipe)
            gradients[name] = g._replace(data=gx)
            if gscale and name + SCALE not in recipe["frozen"]:
                gradients[name + SCALE] = params[name + SCALE]._replace(data=gscale)
    return gradients


def _agreed(difference, by_chain_rule):
    """The difference, with the error that a program by the chain rule has."""
    if abs(difference - by_chain_rule.value) > (abs(difference) + UNIT) * mp.mpf(10) ** -15:
        raise ArithmeticError(f"a central difference of {difference}, and {by_chain_rule.value} by the chain rule")
    return Real(difference, by_chain_rule.error)


def _terms(logits, seen, batch, recipe):
    """Each term and "loss"; cross-entropy also beside kl."""
    softened = recipe["temperature"], recipe["temperature_squared"]
    student, teacher = logits, lift(batch.get("teacher_logits"))
    each = {
        "kl": lambda: losses.by_row(losses.forward, student, teacher, *softened),
        "ce": lambda: cross_entropy_of(student, batch["targets"]),
        "reverse_kl": lambda: losses.by_row(losses.reverse, student, teacher, *softened),
        "js": lambda: losses.by_row(losses.jensen_shannon, student, teacher, *softened),
    }
    shares = recipe["losses"]
    names = [*shares] + ["ce"] * ("kl" in shares and "ce" not in shares)
    terms = {name: losses.reduced(each[name](), batch["mask"], recipe["reduction"]).data[0] for name in names}
    return terms | {"loss": total([constant(share) * terms[name] for name, share in shares.items()])}


class _Inputs:
    """What linear layers multiply: a dynamic grid's values, straight through. The first pass fixes codes and masks."""

    def __init__(self, bits):
        self.bits, self.kept, self.replay = bits, [], None

    def begin(self):
        self.replay = iter(self.kept) if self.kept else None
        return self

    def __call__(self, x):
        if self.bits is None:
            return x
        if self.replay is not None:
            fixed = next(self.replay)
            return x._replace(
                data=[Real(r.value + y if passes else y) for r, (y, passes) in zip(x.data, fixed, strict=True)]
            )
        data, fixed = [], []
        for row, safe in zip(rows(x), rows(settled(x)), strict=True):
            for r, (y, error, passes) in zip(row, self._token(safe), strict=True):
                data.append(Real(y, error, ((r, lambda g: g),) if passes else ()))
                fixed.append((y - r.value if passes else y, passes))
        self.kept.append(fixed)
        return x._replace(data=data)

    def _token(self, row):
        """Value, error, and whether a gradient passes, of each number of a token."""
        qmin, qmax = grids.integer_range(self.bits)
        lo, hi = min(0, *(r.value for r in row)), max(0, *(r.value for r in row))
        scale, error = (hi - lo) / (qmax - qmin), 2 * max(r.error for r in row)
        if error * (qmax - qmin) > scale * CLEAR:
            raise ArithmeticError(f"a step of {scale} is too small for an error of {error}")
        zero_point = min(max(qmin - _clear(lo / scale), qmin), qmax)
        for r in row:
            u = _clear(r.value / scale) + zero_point
            code = min(max(u, qmin), qmax) - zero_point
            y = code * scale
            yield y, abs(code) * error / (qmax - qmin) + 3 * UNIT * abs(y), qmin <= u <= qmax


def _clear(t):
    """The nearest integer of what is no tie, and not nearly one."""
    if abs(t - mp.floor(t) - 0.5) < CLEAR.numerator / mp.mpf(CLEAR.denominator):
        raise ArithmeticError(f"{t} steps are too near to a tie")
    return int(mp.nint(t))
