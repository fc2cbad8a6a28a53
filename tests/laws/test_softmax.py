"""Laws of softmax."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws.operations import EDGES, assert_float64_is_kept, cost, normal, softmax_cost, tenths
from tests.support import both


@st.composite
def arguments(draw):
    shape = draw(st.sampled_from([(1,), (5,), (3, 4), (4, 3), (2, 2, 3), (0, 4)]))
    return {"x": draw(tenths(shape, 100))}


def edges():
    for shape in EDGES:
        yield {"x": normal(1, *shape) * 5}


def bound(arguments, expected):
    return cost(np.abs(expected), softmax_cost(arguments["x"])) + 2.0**-148


@both
@given(arguments())
def test_the_sum_is_one(engine, arguments):
    y = engine.softmax(**arguments)
    np.testing.assert_allclose(y.astype(np.float64).sum(axis=-1), 1, atol=1e-6)
    assert (y >= 0).all()


@both
@given(arguments(), st.sampled_from([-4096.0, 0.5, 1024.0]))
def test_a_constant_changes_nothing(engine, arguments, constant):
    x = np.rint(arguments["x"])  # so that the shift is exact
    y = engine.softmax(x)
    assert (np.abs(engine.softmax(x + np.float32(constant)) - y) <= bound({"x": x}, y)).all()


@both
@given(arguments())
def test_order_is_kept(engine, arguments):
    y = engine.softmax(np.sort(arguments["x"], axis=-1))
    assert (np.diff(y, axis=-1) >= 0).all()


@both
def test_a_masked_class(engine):
    x = normal(1, 3, 6)
    masked = np.insert(x, 2, -np.inf, axis=-1)
    y = engine.softmax(masked)
    assert not y[:, 2].any()
    np.testing.assert_allclose(np.delete(y, 2, axis=-1), engine.softmax(x), atol=1e-6)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.softmax, arguments)


def _wrong(shift=True, axis=-1, exp=np.exp):
    def softmax(x):
        refq.softmax(x)
        with np.errstate(all="ignore"):
            e = exp(x - x.max(axis=axis, keepdims=True) if shift else x)
            return (e / e.sum(axis=axis, keepdims=True)).astype(np.float32)

    return softmax


WRONG = {
    "no shift": _wrong(shift=False),
    "over the first axis": _wrong(axis=0),
    "over everything": _wrong(axis=None),
    "base 2": _wrong(exp=np.exp2),
    "tanh-like exp of 8 bits": _wrong(exp=lambda x: (1 + np.maximum(x, -255.0) / 256) ** 256),
    "masked logits clipped": lambda x: _wrong()(np.maximum(x, np.float32(-5))),
    "all equal": lambda x: np.full_like(x, 1 / x.shape[-1]),
}
