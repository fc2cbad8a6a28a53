"""Optimizers and schedules at 50 digits."""

from fractions import Fraction

from tools.oracle.numbers import Array, Bounded, rounded
from tools.oracle.ops import bounded_list
from tools.oracle.reals import Real, bounded, constant, lift, mp, sqrt

CLOSE = Fraction(1, 2**50)  # of a float64 number near 1: a few units in the last place


def sgd(w, g, velocity, learning_rate, momentum=Fraction(0.9), weight_decay=0):
    after, state = [], []
    for w_, g_, v_ in zip(*_data(w, g, velocity), strict=True):
        state.append(constant(momentum) * v_ + (g_ + constant(weight_decay) * w_))
        after.append(w_ - constant(learning_rate) * state[-1])
    return bounded_list([Array(w.dtype, w.shape, after), Array(w.dtype, w.shape, state)])


def adam(w, g, moments, step, learning_rate, weight_decay=0, betas=(0.9, 0.999), eps=1e-8):
    coupled = [g_ + constant(weight_decay) * w_ for w_, g_ in zip(*_data(w, g), strict=True)]
    u, state = direction(coupled, moments, step, betas, eps)
    after = [w_ - constant(learning_rate) * u_ for w_, u_ in zip(lift(w).data, u, strict=True)]
    return bounded_list([Array(w.dtype, w.shape, after), state])


def adamw(w, g, moments, step, learning_rate, weight_decay=0, betas=(0.9, 0.999), eps=1e-8):
    u, state = direction(lift(g).data, moments, step, betas, eps)
    kept, rate = constant(1 - Fraction(learning_rate) * Fraction(weight_decay)), constant(learning_rate)
    after = [kept * w_ - rate * u_ for w_, u_ in zip(lift(w).data, u, strict=True)]
    return bounded_list([Array(w.dtype, w.shape, after), state])


def direction(g, moments, step, betas, eps):
    """a / (sqrt(b) + eps) of a list of Reals, and the moments after it."""
    (beta1, beta2), old = map(Fraction, betas), lift(moments).data
    n = len(g)
    m = [constant(beta1) * m_ + constant(1 - beta1) * g_ for m_, g_ in zip(old[:n], g, strict=True)]
    v = [constant(beta2) * v_ + constant(1 - beta2) * (g_ * g_) for v_, g_ in zip(old[n:], g, strict=True)]
    unbias1, unbias2 = constant(1 - beta1**step), constant(1 - beta2**step)
    roots = [sqrt(v_ / unbias2) if v_.value else v_ for v_ in v]  # the root of 0 has no slope
    u = [m_ / unbias1 / (root + constant(eps)) for m_, root in zip(m, roots, strict=True)]
    return u, Array(moments.dtype, moments.shape, m + v)


def global_norm(gradients):
    return _float64(norm(gradients), relative=True)


def clip_gradients(gradients, max_norm):
    found = norm(gradients)
    factor = constant(min(mp.mpf(1), Real(max_norm).value / (found + mp.mpf(10) ** -6)))
    clipped = {
        name: bounded(Array(g.dtype, g.shape, [factor * v for v in lift(g).data])) for name, g in gradients.items()
    }
    value, within = _float64(found, relative=True)
    return Bounded(
        ({name: b.value for name, b in clipped.items()}, value),
        ({name: b.within for name, b in clipped.items()}, within),
    )


def norm(gradients):
    """The root of the sum of all squares."""
    return mp.sqrt(mp.fsum(v.value**2 for g in gradients.values() for v in lift(g).data))


def cosine_schedule(step, steps, warmup=0):
    return _float64(_warmed(step, warmup, (1 + mp.cos(mp.pi * _progress(step, steps, warmup))) / 2))


def linear_schedule(step, steps, warmup=0):
    return _float64(_warmed(step, warmup, 1 - _progress(step, steps, warmup)))


def step_schedule(step, steps, warmup=0, drops=(), factor=Fraction(0.1)):
    count = sum(drop <= step for drop in getattr(drops, "data", drops))
    return _float64(_warmed(step, warmup, Real(Fraction(factor) ** count).value))


def _warmed(step, warmup, multiplier):
    return mp.mpf(step) / warmup if step < warmup else multiplier


def _progress(step, steps, warmup):
    return mp.mpf(step - warmup) / max(1, steps - warmup)


def _float64(value, relative=False):
    """A float64 number without axes, and how far another program's may be off."""
    exact = rounded(Fraction(int(value * 2**200), 2**200), "float64")
    within = rounded(exact * CLOSE if relative else CLOSE)
    return Bounded(Array("float64", (), [exact]), Array("float32", (), [within]))


def _data(*arrays):
    return [lift(array).data for array in arrays]
