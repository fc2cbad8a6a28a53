"""Laws of adamw."""

import numpy as np
import pytest
from hypothesis import given

import refq
from tests.laws.operations import assert_float64_is_kept
from tests.laws.optimizers import adam_arguments, adam_edges, adam_mistakes, first_step, wrong_adam
from tests.support import both

arguments = adam_arguments
edges = adam_edges


@both
@given(arguments())
def test_each_element_by_itself(engine, arguments):
    w, moments = engine.adamw(**arguments)
    turned = arguments | {name: arguments[name][..., ::-1] for name in ("w", "g", "moments")}
    for once, again in zip((w, moments), engine.adamw(**turned), strict=True):
        np.testing.assert_array_equal(again[..., ::-1], once)


@both
@given(arguments())
def test_a_first_step_has_the_length_of_the_rate(engine, arguments):
    arguments = first_step(arguments) | {"weight_decay": 0.0, "eps": 1e-30}
    w, _ = engine.adamw(**arguments)
    expected = arguments["w"] - np.float32(arguments["learning_rate"]) * np.sign(arguments["g"])
    np.testing.assert_allclose(w, expected, rtol=0, atol=1e-5)


@both
@given(arguments())
def test_without_a_gradient_the_weights_only_decay(engine, arguments):
    arguments = first_step(arguments) | {"g": np.zeros_like(arguments["g"])}
    w, moments = engine.adamw(**arguments)
    kept = np.float32(1 - arguments["learning_rate"] * arguments["weight_decay"])
    np.testing.assert_array_equal(w, arguments["w"] * kept)
    assert not moments.any()


@both
@given(arguments())
def test_rate_0_moves_the_moments_alone(engine, arguments):
    w, moments = engine.adamw(**(arguments | {"learning_rate": 0.0}))
    np.testing.assert_array_equal(w, arguments["w"])
    np.testing.assert_array_equal(moments, engine.adamw(**arguments)[1])


@both
def test_a_square_that_overflows_does_not_move_its_weight(engine):
    one, zero = np.float32([1]), np.zeros((2, 1), np.float32)
    w, moments = engine.adamw(one, np.float32([1e30]), zero, 1, 0.1)
    assert w == 1
    assert np.isinf(moments[1])


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.adamw, arguments)


@both
def test_a_gradient_of_nan_is_named(engine):
    one = np.ones((2, 2), np.float32)
    with pytest.raises(refq.errors.NonFiniteError, match=r"g\[0, 1\] is nan; every value must be finite"):
        engine.adamw(one, np.float32([[1, np.nan], [1, 1]]), np.zeros((2, 2, 2), np.float32), 1, 0.1)


WRONG = adam_mistakes("adamw") | {
    "coupled decay": refq.adam,
    "decay not times the rate": wrong_adam("adamw", decay=lambda w, u, rate, decay: (1 - decay) * w - rate * u),
    "decay after the step": wrong_adam("adamw", decay=lambda w, u, rate, decay: (1 - rate * decay) * (w - rate * u)),
    "decay forgotten": wrong_adam("adamw", decay=lambda w, u, rate, decay: w - rate * u),
    "growth": wrong_adam("adamw", decay=lambda w, u, rate, decay: (1 + rate * decay) * w - rate * u),
}
