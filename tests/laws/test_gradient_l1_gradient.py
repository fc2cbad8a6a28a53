"""Laws of gradient_l1_gradient."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws.operations import assert_float64_is_kept, assert_linear_in, tenths
from tests.support import both, shapes


@st.composite
def arguments(draw):
    shape = draw(shapes())
    return {
        "plus": draw(tenths(shape)),
        "minus": draw(tenths(shape)),
        "epsilon": draw(st.sampled_from([0.25, 0.5, 1.0])),
        "strength": draw(st.sampled_from([0.0, 0.05, 1.0])),
    }


@both
@given(arguments())
def test_strength_0_is_no_penalty(engine, arguments):
    assert not engine.gradient_l1_gradient(**(arguments | {"strength": 0.0})).any()


@both
@given(arguments())
def test_the_other_side_is_the_other_sign(engine, arguments):
    turned = arguments | {"plus": arguments["minus"], "minus": arguments["plus"]}
    np.testing.assert_array_equal(
        engine.gradient_l1_gradient(**turned), -engine.gradient_l1_gradient(**arguments) + np.float32(0)
    )


@both
@given(arguments())
def test_linear_in_the_gradients(engine, arguments):
    arguments |= {"minus": np.zeros_like(arguments["minus"])}
    assert_linear_in(engine.gradient_l1_gradient, arguments, "plus")


@both
def test_it_is_the_slope_of_the_penalty(engine):
    """Two arrays of a smooth loss, softplus of a quadratic: against central differences of sum |g|, in float64."""
    random = np.random.default_rng(4)
    root, start = random.standard_normal((7, 7)), random.standard_normal(7)
    hessian = root @ root.T / 7 + np.eye(7)

    def gradients(w):
        g = hessian @ w / (1 + np.exp(-(w @ hessian @ w) / 20))
        return {"a": g[:3], "b": g[3:]}

    def penalty(w):
        return sum(engine.gradient_l1(g) for g in gradients(w).values())

    epsilon = engine.gradient_l1_epsilon({"a": start[:3], "b": start[3:]})
    step = np.concatenate([engine.gradient_l1_direction(g, epsilon) for g in gradients(start).values()])
    plus, minus = gradients(start + step), gradients(start - step)
    found = np.concatenate([engine.gradient_l1_gradient(plus[name], minus[name], epsilon, 0.05) for name in plus])
    h = 1e-4
    slopes = [0.05 * (penalty(start + h * e) - penalty(start - h * e)) / (2 * h) for e in np.eye(7)]
    np.testing.assert_allclose(found, slopes, rtol=0, atol=1e-8)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.gradient_l1_gradient, arguments)


WRONG = {
    "not halved": lambda plus, minus, epsilon, strength: 2 * refq.gradient_l1_gradient(plus, minus, epsilon, strength),
    "the other sign": lambda plus, minus, epsilon, strength: refq.gradient_l1_gradient(minus, plus, epsilon, strength),
    "strength forgotten": lambda plus, minus, epsilon, strength: refq.gradient_l1_gradient(plus, minus, epsilon, 1.0),
    "epsilon forgotten": lambda plus, minus, epsilon, strength: refq.gradient_l1_gradient(plus, minus, 0.5, strength),
    "the mean of both": lambda plus, minus, epsilon, strength: np.float32(strength / (2 * epsilon)) * (plus + minus),
}
