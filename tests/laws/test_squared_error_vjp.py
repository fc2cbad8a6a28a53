"""Laws of squared_error_vjp."""

import numpy as np
from hypothesis import given

import refq
from tests.laws.losses import states_with_g
from tests.laws.operations import assert_float64_is_kept, assert_linear_in
from tests.support import both

arguments = states_with_g


@both
@given(arguments())
def test_linear_in_g(engine, arguments):
    assert_linear_in(engine.squared_error_vjp, arguments)


@both
@given(arguments())
def test_it_points_away_from_the_teacher(engine, arguments):
    _, student, teacher = arguments.values()
    g = np.ones(student.shape[:-1], np.float32)
    np.testing.assert_array_equal(np.sign(engine.squared_error_vjp(g, student, teacher)), np.sign(student - teacher))


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.squared_error_vjp, arguments)


WRONG = {
    "without 2": lambda **arguments: refq.squared_error_vjp(**arguments) / 2,
    "not divided": lambda **arguments: refq.squared_error_vjp(**arguments) * arguments["student"].shape[-1],
    "sign": lambda **arguments: -refq.squared_error_vjp(**arguments),
    "g forgotten": lambda g, **forward: refq.squared_error_vjp(np.ones_like(g), **forward),
    "averaged over positions": lambda **arguments: (
        refq.squared_error_vjp(**arguments) / np.float32(arguments["g"].size)
    ),
}
