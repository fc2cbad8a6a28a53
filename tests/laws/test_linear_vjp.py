"""Laws of linear_vjp."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import test_linear
from tests.laws.operations import assert_float64_is_kept, assert_linear_in, cost, normal, tenths
from tests.support import both


@st.composite
def arguments(draw):
    forward = draw(test_linear.arguments())
    return {"g": draw(tenths((*forward["x"].shape[:-1], len(forward["weight"]))))} | forward


def edges():
    for forward in test_linear.edges():
        yield {"g": normal(4, len(forward["x"]), len(forward["weight"]))} | forward


def bound(arguments, expected):
    positive = {name: None if v is None else np.abs(v) for name, v in arguments.items()}
    sizes = (arguments["g"].shape[-1], *[arguments["g"].size // arguments["g"].shape[-1]] * 2)
    magnitudes = refq.linear_vjp(**positive)
    return [None if m is None else cost(m, n + 2) for m, n in zip(magnitudes, sizes, strict=True)]


@both
def test_no_outputs(engine):
    x, weight, bias = np.ones((2, 3), np.float32), np.empty((0, 3), np.float32), np.empty(0, np.float32)
    gradients = engine.linear_vjp(np.empty((2, 0), np.float32), x, weight, bias)
    assert [gradient.shape for gradient in gradients] == [(2, 3), (0, 3), (0,)]
    assert not gradients[0].any()


@both
@given(arguments())
def test_linear_in_g(engine, arguments):
    assert_linear_in(engine.linear_vjp, arguments)


@both
@given(arguments())
def test_shapes(engine, arguments):
    for gradient, name in zip(engine.linear_vjp(**arguments), ("x", "weight", "bias"), strict=True):
        assert (gradient is None) == (arguments[name] is None)
        assert gradient is None or gradient.shape == arguments[name].shape


@both
@given(arguments())
def test_rows_add_up(engine, arguments):
    g, x = arguments["g"].reshape(-1, arguments["g"].shape[-1]), arguments["x"].reshape(-1, arguments["x"].shape[-1])
    whole = engine.linear_vjp(**arguments)[1]
    parts = [engine.linear_vjp(g[i], x[i], arguments["weight"])[1] for i in range(len(g))]
    np.testing.assert_allclose(whole, np.sum(parts, axis=0) if parts else 0 * whole, atol=1e-5)


@both
def test_packed_weight(engine):
    q, scale, zero_point = np.int32([[1, 2], [3, -4]]), np.float32([[0.5], [1]]), np.int32([[0], [1]])
    packed = engine.PackedWeight(refq.pack_codes(q, 4), scale, zero_point, 4)
    g, x, w = np.float32([[1, 2]]), np.float32([[3, 4]]), np.float32([[0.5, 1], [2, -5]])
    gx, gweight, gbias = engine.linear_vjp(g, x, packed, np.zeros(2, np.float32))
    np.testing.assert_array_equal(gx, g @ w)
    np.testing.assert_array_equal(gbias, g[0])
    assert gweight is None
    with pytest.raises(refq.errors.ShapeError):
        engine.linear_vjp(g, x, packed, np.zeros(3, np.float32))


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.linear_vjp, arguments)


def _wrong(x=lambda v, a: v, weight=lambda v, a: v, bias=lambda v, a: v):
    def linear_vjp(**arguments):
        gx, gweight, gbias = refq.linear_vjp(**arguments)
        gbias = None if gbias is None else bias(gbias, arguments)
        return x(gx, arguments), weight(gweight, arguments), gbias

    return linear_vjp


def _rows(arguments):
    return np.float32(arguments["x"].size // arguments["x"].shape[-1])


WRONG = {
    "gx by the transposed weight": _wrong(x=lambda v, a: a["g"] @ a["weight"].T),
    "gweight transposed": _wrong(weight=lambda v, a: v.T),
    "mean over rows": _wrong(weight=lambda v, a: v / _rows(a)),
    "gbias averaged": _wrong(bias=lambda v, a: v / _rows(a)),
    "gbias not summed": _wrong(bias=lambda v, a: a["g"]),
    "zeros for a missing bias": lambda **a: [np.zeros(1, np.float32) if v is None else v for v in refq.linear_vjp(**a)],
}
