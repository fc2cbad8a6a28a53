"""Laws of first_order_bound."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws.operations import tenths
from tests.support import both, scales, shapes


@st.composite
def arguments(draw):
    shape = draw(shapes())
    return {"g": draw(tenths(shape)), "scale": draw(scales(shape[0]))}


@both
@given(arguments(), st.randoms())
def test_no_rounding_costs_a_linear_loss_more(engine, arguments, random):
    g, scale = arguments["g"], arguments["scale"]
    w = np.array([random.uniform(-7, 7) for _ in g.flat], np.float32).reshape(g.shape) * scale
    change = engine.fake_quantize(w, scale, 0, -8, 7).astype(np.float64) - w
    assert abs((g * change).sum()) <= engine.first_order_bound(**arguments) * (1 + 1e-6)


@both
@given(arguments())
def test_some_rounding_costs_as_much(engine, arguments):
    worst = np.sign(arguments["g"]) * np.abs(arguments["scale"], dtype=np.float64) / 2
    assert (arguments["g"] * worst).sum() == pytest.approx(engine.first_order_bound(**arguments), rel=1e-12)


@both
@given(arguments())
def test_one_scale_is_half_of_it_times_the_penalty(engine, arguments):
    bound = engine.first_order_bound(arguments["g"], 0.25)
    assert bound == pytest.approx(0.125 * engine.gradient_l1(arguments["g"]), rel=1e-14)


@both
def test_beside_a_quadratic_the_remainder_is_the_curvature(engine):
    random = np.random.default_rng(0)
    root, w = random.standard_normal((6, 6)), random.standard_normal(6)
    hessian, scale = root @ root.T, 0.01
    rise = engine.fake_quantize(w, scale, 0, -512, 511) - w
    g = hessian @ w
    cost = ((w + rise) @ hessian @ (w + rise) - w @ hessian @ w) / 2
    assert abs(cost) <= engine.first_order_bound(g, scale) + np.linalg.norm(hessian, 2) * (rise @ rise) / 2


def _wrong(bound):
    return lambda g, scale: float(bound(np.abs(g, dtype=np.float64), np.float64(np.float32(scale))).sum())


WRONG = {
    "a whole step": _wrong(lambda g, s: g * np.abs(s)),
    "the sign of the scale": _wrong(lambda g, s: g * s / 2),
    "one scale for all": _wrong(lambda g, s: g * np.abs(s).max() / 2),
    "squares": _wrong(lambda g, s: g * s * s / 2),
    "the norm of the gradient": lambda g, scale: float(
        refq.global_norm({"g": g}) * np.abs(scale, dtype=np.float64).max() / 2
    ),
    "a mean": lambda g, scale: refq.first_order_bound(g, scale) / g.size,
}
