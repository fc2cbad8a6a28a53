"""Laws of sgd."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.laws.operations import assert_float64_is_kept, tenths
from tests.support import both, shapes


@st.composite
def arguments(draw):
    shape = draw(shapes())
    return {
        "w": draw(tenths(shape)),
        "g": draw(tenths(shape)),
        "velocity": draw(tenths(shape)),
        "learning_rate": draw(st.sampled_from([0.0, 1e-3, 0.1, 1.0])),
        "momentum": draw(st.sampled_from([0.0, 0.5, 0.9])),
        "weight_decay": draw(st.sampled_from([0.0, 0.01, 0.5])),
    }


@both
@given(arguments())
def test_without_momentum_the_velocity_is_the_gradient(engine, arguments):
    arguments |= {"momentum": 0.0, "weight_decay": 0.0}
    w, velocity = engine.sgd(**arguments)
    np.testing.assert_array_equal(velocity, arguments["g"])
    np.testing.assert_array_equal(w, arguments["w"] - np.float32(arguments["learning_rate"]) * arguments["g"])


@both
@given(arguments())
def test_rate_0_moves_the_velocity_alone(engine, arguments):
    w, velocity = engine.sgd(**(arguments | {"learning_rate": 0.0}))
    np.testing.assert_array_equal(w, arguments["w"])
    np.testing.assert_array_equal(velocity, engine.sgd(**arguments)[1])


@both
@given(arguments())
def test_a_constant_gradient_ends_at_its_geometric_sum(engine, arguments):
    velocity = np.zeros_like(arguments["g"])
    for _ in range(60):
        _, velocity = engine.sgd(**(arguments | {"velocity": velocity, "momentum": 0.5, "weight_decay": 0.0}))
    np.testing.assert_allclose(velocity, 2 * arguments["g"], rtol=1e-6)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.sgd, arguments)


def _wrong(
    gradient=lambda w, g, decay: g + decay * w,
    after=lambda v, d, m, rate: m * v + d,
    step=lambda w, v, d, m, rate, decay: w - rate * v,
):
    def sgd(w, g, velocity, learning_rate, momentum=0.9, weight_decay=0.0):
        d = gradient(w, g, weight_decay)
        velocity = after(velocity, d, momentum, learning_rate)
        return step(w, velocity, d, momentum, learning_rate, weight_decay), velocity

    return sgd


WRONG = {
    "decoupled decay": _wrong(
        gradient=lambda w, g, decay: g, step=lambda w, v, d, m, rate, decay: (1 - rate * decay) * w - rate * v
    ),
    "decay forgotten": _wrong(gradient=lambda w, g, decay: g),
    "dampened": _wrong(after=lambda v, d, m, rate: m * v + (1 - m) * d),
    "Nesterov": _wrong(step=lambda w, v, d, m, rate, decay: w - rate * (d + m * v)),
    "the rate inside the velocity": _wrong(
        after=lambda v, d, m, rate: m * v + rate * d, step=lambda w, v, d, m, rate, decay: w - v
    ),
    "the step of the gradient alone": _wrong(step=lambda w, v, d, m, rate, decay: w - rate * d),
    "ascent": _wrong(step=lambda w, v, d, m, rate, decay: w + rate * v),
    "momentum forgotten": _wrong(after=lambda v, d, m, rate: d),
}
