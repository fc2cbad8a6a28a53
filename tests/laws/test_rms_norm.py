"""Laws of rms_norm."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.laws.operations import EDGES, assert_float64_is_kept, cost, normal, tenths
from tests.support import both


@st.composite
def arguments(draw):
    shape = draw(st.sampled_from([(1,), (5,), (3, 4), (2, 2, 3), (0, 4), (2, 1)]))
    eps = draw(st.sampled_from([1e-6, 1e-5, 0.25]))
    return {"x": draw(tenths(shape)), "weight": draw(tenths(shape[-1:])), "eps": eps}


def edges():
    for rows, columns in EDGES:
        yield {"x": normal(1, rows, columns), "weight": normal(2, columns), "eps": 1e-5}


def bound(arguments, expected):
    return cost(np.abs(expected), expected.shape[-1] + 10)


@both
@given(arguments())
def test_the_scale_of_x_cancels(engine, arguments):
    scaled = arguments | {"x": arguments["x"] * 2, "eps": arguments["eps"] * 4}
    np.testing.assert_array_equal(engine.rms_norm(**scaled), engine.rms_norm(**arguments))


@both
@given(arguments())
def test_the_sign_is_kept(engine, arguments):
    mirrored = engine.rms_norm(**(arguments | {"x": -arguments["x"]}))
    np.testing.assert_array_equal(mirrored, -engine.rms_norm(**arguments))


@both
@given(arguments())
def test_unit_mean_square(engine, arguments):
    ones = arguments | {"weight": np.ones_like(arguments["weight"]), "eps": 1e-20}
    square = np.mean(engine.rms_norm(**ones).astype(np.float64) ** 2, axis=-1)
    np.testing.assert_allclose(square, arguments["x"].any(axis=-1), atol=1e-5)


@both
@given(arguments())
def test_each_vector_by_itself(engine, arguments):
    y, x = engine.rms_norm(**arguments), arguments["x"]
    if x.ndim > 1 and len(x):
        last = engine.rms_norm(**(arguments | {"x": x[-1]}))
        np.testing.assert_allclose(last, y[-1], atol=bound(arguments, y).max())


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.rms_norm, arguments)


def wrong(square=lambda x: np.mean(x * x, axis=-1, keepdims=True), root=lambda m, eps: np.sqrt(m + eps), centre=False):
    def rms_norm(x, weight, eps):
        x = x - x.mean(axis=-1, keepdims=True) if centre else x
        with np.errstate(all="ignore"):
            return (x / root(square(x), np.float32(eps)) * weight).astype(np.float32)

    return rms_norm


WRONG = {
    "eps outside the root": wrong(root=lambda m, eps: np.sqrt(m) + eps),
    "eps forgotten": wrong(root=lambda m, eps: np.sqrt(m)),
    "eps as a floor": wrong(root=lambda m, eps: np.sqrt(np.maximum(m, eps))),
    "eps of 1e-6 whatever is asked": wrong(root=lambda m, eps: np.sqrt(m + np.float32(1e-6))),
    "mean subtracted": wrong(centre=True),
    "sum of squares": wrong(square=lambda x: np.sum(x * x, axis=-1, keepdims=True)),
    "mean over everything": wrong(square=lambda x: np.mean(x * x)),
    "mean of absolutes": wrong(square=lambda x: np.mean(np.abs(x), axis=-1, keepdims=True) ** 2),
    "divided by n - 1": wrong(square=lambda x: np.sum(x * x, axis=-1, keepdims=True) / max(x.shape[-1] - 1, 1)),
    "weight plus one": lambda x, weight, eps: wrong()(x, weight + 1, eps),
    "weight ignored": lambda x, weight, eps: wrong()(x, np.ones_like(weight), eps),
}
