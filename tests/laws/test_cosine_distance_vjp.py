"""Laws of cosine_distance_vjp."""

import numpy as np
from hypothesis import given

import refq
from tests.laws.losses import states_with_g
from tests.laws.operations import assert_float64_is_kept, assert_linear_in
from tests.laws.test_log_softmax import quiet
from tests.support import both

arguments = states_with_g


@both
@given(arguments())
def test_linear_in_g(engine, arguments):
    assert_linear_in(engine.cosine_distance_vjp, arguments)


@both
@given(arguments())
def test_at_right_angles_to_the_student(engine, arguments):
    gstudent = engine.cosine_distance_vjp(**arguments)
    np.testing.assert_allclose((gstudent * arguments["student"]).sum(axis=-1), 0, atol=1e-5)


@both
@given(arguments())
def test_twice_as_long_half_the_slope(engine, arguments):
    gstudent = engine.cosine_distance_vjp(**arguments)
    doubled = engine.cosine_distance_vjp(**(arguments | {"student": arguments["student"] * 2}))
    np.testing.assert_array_equal(doubled, gstudent / 2)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.cosine_distance_vjp, arguments)


def _wrong(slope):
    def vjp(g, student, teacher):
        refq.cosine_distance_vjp(g, student, teacher)
        lengths = (np.sqrt(np.square(x).sum(axis=-1, keepdims=True)) for x in (student, teacher))
        return g[..., None] * slope(student, teacher, *lengths)

    return quiet(vjp)


WRONG = {
    "lengths as constants": _wrong(lambda s, t, n, m: -t / np.where(n * m == 0, np.float32(np.inf), n * m)),
    "not divided by the length": _wrong(
        lambda s, t, n, m: refq.cosine_distance_vjp(np.ones(s.shape[:-1], np.float32), s, t) * n
    ),
    "0 / 0": _wrong(lambda s, t, n, m: ((s * t).sum(axis=-1, keepdims=True) * s / n / n - t) / n / m),
    "of the cosine": lambda **arguments: -refq.cosine_distance_vjp(**arguments),
    "g forgotten": lambda g, **forward: refq.cosine_distance_vjp(np.ones_like(g), **forward),
    "of the teacher": lambda g, student, teacher: refq.cosine_distance_vjp(g, teacher, student),
}
