"""Laws of silu."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.laws.operations import (
    EDGES,
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
    return {"x": draw(tenths(shape, 200))}


def edges():
    for shape in EDGES:
        yield {"x": normal(1, *shape) * 10}


def bound(arguments, expected):
    return cost(np.abs(expected), 20) + 2.0**-119


@both
@given(arguments())
def test_mirrored(engine, arguments):
    assert_mirrored(engine.silu, arguments["x"])


@both
@given(arguments())
def test_between_relu_and_its_minimum(engine, arguments):
    x = arguments["x"]
    y = engine.silu(x)
    assert (y <= np.maximum(x, 0)).all()
    assert (y >= -0.27847).all()


@both
def test_far_out(engine):
    assert_relu_far_out(engine.silu, 1e-36)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.silu, arguments)


def sigmoid(x):
    with np.errstate(all="ignore"):
        return 1 / (1 + np.exp(-x))


def _overflowing(x):
    with np.errstate(all="ignore"):
        return x * (np.exp(x) / (1 + np.exp(x)))


WRONG = {
    "sigmoid": lambda x: sigmoid(x),
    "relu": lambda x: np.maximum(x, 0),
    "gelu by its sigmoid": lambda x: x * sigmoid(np.float32(1.702) * x),
    "hard": lambda x: x * np.clip((x + 3) / 6, 0, 1).astype(np.float32),
    "exp(x) / (1 + exp(x))": _overflowing,
    "sigmoid of -x": lambda x: x * sigmoid(-x),
    "integers accepted": lambda x: (lambda v: v * sigmoid(v))(np.asarray(x, np.float32)),
}
