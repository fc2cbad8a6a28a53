"""Laws of adam."""

import numpy as np
from hypothesis import assume, given

import refq
from tests.laws.operations import assert_float64_is_kept
from tests.laws.optimizers import adam_arguments, adam_mistakes, first_step, wrong_adam
from tests.support import both

arguments = adam_arguments


@both
@given(arguments())
def test_without_decay_it_is_adamw(engine, arguments):
    arguments["weight_decay"] = 0.0
    for one, other in zip(engine.adam(**arguments), engine.adamw(**arguments), strict=True):
        np.testing.assert_array_equal(one, other)


@both
@given(arguments())
def test_the_decay_is_part_of_the_gradient(engine, arguments):
    coupled = arguments["g"] + np.float32(arguments["weight_decay"]) * arguments["w"]
    for one, other in zip(
        engine.adam(**arguments), engine.adam(**(arguments | {"g": coupled, "weight_decay": 0.0})), strict=True
    ):
        np.testing.assert_array_equal(one, other)


@both
@given(arguments())
def test_decay_alone_shrinks_every_weight_by_the_rate(engine, arguments):
    arguments = first_step(arguments) | {"g": np.zeros_like(arguments["g"]), "weight_decay": 0.5, "eps": 1e-30}
    w, _ = engine.adam(**arguments)
    expected = arguments["w"] - np.float32(arguments["learning_rate"]) * np.sign(arguments["w"])
    np.testing.assert_allclose(w, expected, rtol=0, atol=1e-5)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    decay = arguments["weight_decay"] * arguments["w"].astype(np.float64)
    sizes = np.abs(arguments["g"]) + np.abs(decay)
    assume((np.abs(arguments["g"] + decay) >= 1e-3 * sizes).all())  # what cancels is all rounding, and a whole step
    assert_float64_is_kept(engine.adam, arguments)


WRONG = adam_mistakes("adam") | {
    "decoupled decay": refq.adamw,
    "decay forgotten": wrong_adam("adam", coupled=lambda w, g, decay: g),
    "decay after the moments": wrong_adam(
        "adam", coupled=lambda w, g, decay: g, decay=lambda w, u, rate, decay: w - rate * (u + decay * w)
    ),
    "growth": wrong_adam("adam", coupled=lambda w, g, decay: g - decay * w),
}
