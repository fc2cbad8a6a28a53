"""Laws of kd_kl_and_grad."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import test_cross_entropy, test_cross_entropy_vjp
from tests.laws.losses import kl_bound, kl_vjp_bound, mild, pair_edges, pairs
from tests.laws.operations import assert_float64_is_kept, assert_linear_in, normal, tenths, wide
from tests.support import both, int_arrays


@st.composite
def arguments(draw):
    student, teacher, temperature, squared = draw(pairs()).values()
    *shape, V = student.shape
    alpha = draw(st.sampled_from([0.0, 0.3, 0.5, 1.0]))
    return _arguments(
        student, teacher, draw(int_arrays(shape, 0, V - 1)), draw(tenths(shape)), alpha, temperature, squared
    )


def edges():
    for i, forward in enumerate(pair_edges()):
        student, teacher, temperature, squared = forward.values()
        rows, V = student.shape
        weight = normal(5, rows)
        weight[::7] = 0
        targets = np.random.default_rng(3).integers(0, V, rows)
        yield _arguments(student, teacher, targets, weight, (0.5, 1.0, 0.3)[i % 3], temperature, squared)


def _arguments(student, teacher, targets, weight, alpha, temperature, squared):
    return {
        "student_logits": student,
        "teacher_logits": teacher,
        "targets": targets,
        "weight": weight,
        "alpha": alpha,
        "temperature": temperature,
        "squared": squared,
    }


def bound(arguments, expected):
    student, teacher, targets, weight, *_ = arguments.values()
    alpha, names = arguments.get("alpha", 1.0), ("student_logits", "teacher_logits", "temperature", "squared")
    forward = {name: arguments[name] for name in names if name in arguments}
    crossed = {"logits": student, "targets": targets}
    glogits = kl_vjp_bound(weight * alpha, forward)
    glogits += test_cross_entropy_vjp.bound({"g": weight * (1 - alpha)} | crossed, None)
    return [kl_bound(forward), test_cross_entropy.bound(crossed, None), 2 * glogits]


@both
@given(arguments())
def test_it_is_the_parts(engine, arguments):
    student, teacher, targets, weight, alpha, temperature, squared = arguments.values()
    kl = refq.kl_divergence(student, teacher, temperature, squared)
    ce = refq.cross_entropy(student, targets)
    mix = np.float32(alpha), 1 - np.float32(alpha)
    glogits = refq.kl_divergence_vjp(weight * mix[0], student, teacher, temperature, squared)
    glogits += refq.cross_entropy_vjp(weight * mix[1], student, targets)
    within = bound(arguments, None)
    for part, due, allowed in zip(
        engine.kd_kl_and_grad(**arguments), (kl * (weight != 0), ce * (weight != 0), glogits), within, strict=True
    ):
        assert (np.abs(part - due) <= allowed).all()


@both
@given(arguments())
def test_the_gradient_is_linear_in_weight(engine, arguments):
    assert_linear_in(lambda **arguments: engine.kd_kl_and_grad(**arguments)[2], arguments, "weight")


@both
@given(arguments())
def test_the_gradient_is_the_slope(engine, arguments):
    arguments = wide(arguments)
    student, weight, alpha = arguments["student_logits"], arguments["weight"], arguments["alpha"]
    along = np.cos(np.arange(student.size)).reshape(student.shape)

    def loss(step):
        kl, ce, _ = engine.kd_kl_and_grad(**(arguments | {"student_logits": student + step * along}))
        return (weight * (alpha * kl + (1 - alpha) * ce)).sum()

    slope = (8 * (loss(1e-3) - loss(-1e-3)) - (loss(2e-3) - loss(-2e-3))) / 12e-3
    found = (engine.kd_kl_and_grad(**arguments)[2] * along).sum()
    np.testing.assert_allclose(found, slope, rtol=1e-6, atol=1e-6)


@both
@given(arguments())
def test_padding_does_not_count(engine, arguments):
    weight = arguments["weight"] * 0
    broken = {name: np.full_like(arguments[name], np.nan) for name in ("student_logits", "teacher_logits")}
    for part in engine.kd_kl_and_grad(**(arguments | broken | {"weight": weight})):
        assert not part.any()


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.kd_kl_and_grad, mild(arguments))


def _mistaken(**replaced):
    """The parts with some of them replaced."""
    right = {
        "kl": lambda s, t, temperature, squared: refq.kl_divergence(s, t, temperature, squared),
        "kl_vjp": lambda g, s, t, temperature, squared: refq.kl_divergence_vjp(g, s, t, temperature, squared),
        "ce": lambda s, y, temperature: refq.cross_entropy(s, y),
        "ce_vjp": lambda g, s, y, temperature: refq.cross_entropy_vjp(g, s, y),
        "shares": lambda alpha: (np.float32(alpha), np.float32(1) - np.float32(alpha)),
        "seen": lambda weight: weight != 0,
    }
    do = right | replaced

    def wrong(student_logits, teacher_logits, targets, weight, alpha=1.0, temperature=1.0, squared=True):
        refq.kd_kl_and_grad(student_logits, teacher_logits, targets, weight, alpha, temperature, squared)
        s, t, seen, shares = student_logits, teacher_logits, do["seen"](weight), do["shares"](alpha)
        with np.errstate(all="ignore"):
            kl, ce = do["kl"](s, t, temperature, squared), do["ce"](s, targets, temperature)
            glogits = do["kl_vjp"](weight * shares[0], s, t, temperature, squared)
            glogits = glogits + do["ce_vjp"](weight * shares[1], s, targets, temperature)
        return kl * seen, ce * seen, glogits * seen[..., None]

    return wrong


WRONG = {
    "alpha on the other one": _mistaken(shares=lambda alpha: (np.float32(1 - alpha), np.float32(alpha))),
    "cross-entropy in full": _mistaken(shares=lambda alpha: (np.float32(alpha), np.float32(1))),
    "KL(student || teacher)": _mistaken(kl=refq.reverse_kl_divergence, kl_vjp=refq.reverse_kl_divergence_vjp),
    "gradient of the other divergence": _mistaken(kl_vjp=refq.reverse_kl_divergence_vjp),
    "never squared": _mistaken(
        kl=lambda s, t, temperature, squared: refq.kl_divergence(s, t, temperature, False),
        kl_vjp=lambda g, s, t, temperature, squared: refq.kl_divergence_vjp(g, s, t, temperature, False),
    ),
    "cross-entropy softened": _mistaken(
        ce=lambda s, y, temperature: refq.cross_entropy(s / np.float32(temperature), y),
        ce_vjp=lambda g, s, y, temperature: refq.cross_entropy_vjp(g, s / np.float32(temperature), y),
    ),
    "padding not skipped": _mistaken(seen=np.ones_like),
    "losses weighted": lambda **arguments: [
        part * weight
        for part, weight in zip(
            refq.kd_kl_and_grad(**arguments),
            (arguments["weight"], arguments["weight"], np.float32(1)),
            strict=True,
        )
    ],
    "no weight": lambda **arguments: refq.kd_kl_and_grad(
        **(arguments | {"weight": (arguments["weight"] != 0).astype(np.float32)})
    ),
}
