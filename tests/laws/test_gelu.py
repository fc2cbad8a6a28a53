"""Laws of gelu."""

import math

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from tests.laws.operations import (
    EDGES,
    UNIT,
    assert_float64_is_kept,
    assert_mirrored,
    assert_relu_far_out,
    cost,
    normal,
    tenths,
)
from tests.support import both


@st.composite
def arguments(draw):
    shape = draw(st.sampled_from([(), (5,), (3, 4), (2, 2, 3), (0,)]))
    return {"x": draw(tenths(shape, 100))}


def edges():
    for shape in EDGES:
        yield {"x": normal(1, *shape) * 3}


def bound(arguments, expected):
    return cost(np.abs(arguments["x"]), 8)


@both
@given(arguments())
def test_mirrored(engine, arguments):
    assert_mirrored(engine.gelu, arguments["x"])


@both
@given(arguments())
@example({"x": np.float32([-5.5, -5.4, -5.1])})
def test_between_relu_and_its_minimum(engine, arguments):
    x = arguments["x"]
    y = engine.gelu(x)
    assert (y <= np.maximum(x, 0) * (1 + 4 * UNIT)).all()
    assert (y >= -0.17).all()


@both
def test_far_out(engine):
    assert_relu_far_out(engine.gelu)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.gelu, arguments)


@both
def test_no_number_is_still_none(engine):
    assert np.isnan(engine.gelu(np.float32([np.nan, 1]))).tolist() == [True, False]


def tanh_form(x):
    c = np.clip(x, -40, 40)
    return (x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (c + 0.044715 * c**3)))).astype(np.float32)


def erf_form(x, scale=0.5**0.5):
    return np.array([v * (1 + math.erf(v * scale)) / 2 for v in x.ravel().tolist()], np.float32).reshape(x.shape)


def _sigmoid(x):
    with np.errstate(all="ignore"):
        return 1 / (1 + np.exp(-x))


WRONG = {
    "by its tanh": tanh_form,
    "by its sigmoid": lambda x: x * _sigmoid(np.float32(1.702) * x),
    "silu": lambda x: x * _sigmoid(x),
    "relu": lambda x: np.maximum(x, 0),
    "erf of x": lambda x: erf_form(x, 1.0),
    "erf of x / 2": lambda x: erf_form(x, 0.5),
    "probability alone": lambda x: erf_form(x) / np.where(x == 0, np.float32(1), x),
    "not halved": lambda x: 2 * erf_form(x),
    "of -x": lambda x: erf_form(-x),
    "integers accepted": lambda x: erf_form(np.asarray(x, np.float32)),
}
