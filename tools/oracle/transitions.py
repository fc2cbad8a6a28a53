"""Scheduling of weight transitions in exact arithmetic, and at 50 digits where a root or a cosine is."""

from fractions import Fraction

from tools.oracle import optimizers
from tools.oracle.numbers import Array, Bounded, elementwise, rounded
from tools.oracle.reals import Real, bounded, constant, lift, mp, total

CLOSE = Fraction(1, 2**50)  # of the largest term: a few units in the last place


def transition_rate(q, previous):
    count = sum(a != b for a, b in zip(q.data, previous.data, strict=True))
    return _float64(Fraction(count, max(1, len(q.data))))


def running_rate(running, rate, momentum=Fraction(0.99)):
    return _float64(momentum * running + (1 - momentum) * rate)


def initial_target(bits, strength=Fraction(5e-3)):
    return _float64(Fraction(strength) * _exact(mp.sqrt(bits)))


def target_rate(initial, step, steps):
    curve = optimizers.cosine_schedule(step, steps).value.data[0]
    return _float64(Fraction(initial) * curve, initial)


def target_rate_steps(initial, step, steps, drops, factor=Fraction(0.1)):
    count = sum(drop <= step for drop in getattr(drops, "data", drops))
    return _float64(Fraction(initial) * Fraction(factor) ** count)


def talr_additive(learning_rate, target, running, eta):
    value = max(Fraction(0), Fraction(learning_rate + eta * (target - running)))
    return _float64(value, max(learning_rate, eta * target, eta * running) if value else 0)


def talr_multiplicative(learning_rate, target, running):
    return _float64(_scaled(learning_rate, target, running))


def talr_momentum(learning_rate, target, running, momentum=Fraction(0.99)):
    return _float64(momentum * learning_rate + (1 - momentum) * _scaled(learning_rate, target, running))


def lts_distance(distance, position, q, previous, momentum=Fraction(0.99)):
    old = [None] * len(q.data) if distance is None else lift(distance).data
    data = []
    for before, x, code, other in zip(old, lift(position).data, q.data, previous.data, strict=True):
        d = x - Real(code)
        d = -d if d.value < 0 else d
        now = d if before is None else constant(momentum) * before + constant(1 - momentum) * d
        data.append(now if code == other else Real(1))
    return bounded(Array(position.dtype, position.shape, data))


def lts_threshold(step, steps, warmup=0, growth="linear", final=1):
    if step < warmup:
        return _float64(Fraction(-1))
    p = Fraction(step - warmup, max(1, steps - warmup))
    curve = {"constant": Fraction(1), "linear": p, "sine": _exact(mp.sin(mp.pi / 2 * p.numerator / p.denominator))}
    return _float64(Fraction(final) * curve[growth])


def lts_freeze(frozen, distance, threshold):
    return elementwise(lambda was, d: bool(was) or d <= threshold, "bool", frozen, distance)


def lts_hold(w, before, frozen):
    return elementwise(lambda now, old, held: old if held else now, w.dtype, w, before, frozen)


def gradient_l1(g):
    return _float64(Fraction(sum(map(abs, g.data))))


def first_order_bound(g, scale):
    scale = scale if isinstance(scale, Array) else Array(g.dtype, (), [rounded(Fraction(scale), g.dtype)])
    sizes = elementwise(lambda v, s: abs(v) * abs(s), g.dtype, g, scale)
    return _float64(Fraction(sum(sizes.data)) / 2)


def gradient_l1_epsilon(weights):
    values = [v for w in weights.values() for v in w.data]
    share = Fraction(1e-3) if all(w.dtype == "float32" for w in weights.values()) else Fraction(1e-5)
    return _float64(share * _exact(mp.sqrt(Real(Fraction(sum(v * v for v in values)) / len(values)).value)))


def gradient_l1_direction(g, epsilon):
    epsilon = rounded(Fraction(epsilon), g.dtype)
    return elementwise(lambda v: epsilon * ((v > 0) - (v < 0)), g.dtype, g)


def gradient_l1_gradient(plus, minus, epsilon, strength):
    factor = constant(Fraction(strength) / (2 * Fraction(epsilon)))
    pairs = zip(lift(plus).data, lift(minus).data, strict=True)
    return bounded(Array(plus.dtype, plus.shape, [factor * total([a, -b]) for a, b in pairs]))


def _scaled(learning_rate, target, running):
    return Fraction(learning_rate) * (Fraction(target) / Fraction(running) if running else 1)


def _exact(value):
    """A number of 50 digits as a fraction."""
    return Fraction(int(value * 2**160), 2**160)


def _float64(value, term=None):
    """A float64 number without axes, and how far another program's may be off: CLOSE of its largest term."""
    within = Fraction(rounded(CLOSE * abs(Fraction(value if term is None else term))))
    return Bounded(Array("float64", (), [rounded(Fraction(value), "float64")]), Array("float32", (), [within]))
