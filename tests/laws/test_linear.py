"""Laws of linear."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws.operations import UNIT, assert_float64_is_kept, assert_linear_in, cost, normal, tenths
from tests.support import both


@st.composite
def arguments(draw):
    n, out = draw(st.integers(1, 9)), draw(st.integers(1, 5))
    lead = draw(st.sampled_from([(), (1,), (3,), (2, 2), (0,)]))
    return {
        "x": draw(tenths((*lead, n))),
        "weight": draw(tenths((out, n))),
        "bias": draw(st.none() | tenths((out,))),
    }


def edges():
    for rows, n, out in ((1, 1, 1), (1, 64, 172), (3, 33, 65), (256, 64, 64), (17, 1000, 130), (4500, 70, 65)):
        yield {"x": normal(1, rows, n), "weight": normal(2, out, n), "bias": normal(3, out) if n % 2 else None}


def bound(arguments, expected):
    bias = 0 if arguments["bias"] is None else np.abs(arguments["bias"])
    return cost(np.abs(arguments["x"]) @ np.abs(arguments["weight"]).T + bias, arguments["x"].shape[-1] + 2)


@both
@given(arguments())
def test_a_row_of_the_identity_picks_a_column_of_weight(engine, arguments):
    weight = arguments["weight"]
    np.testing.assert_array_equal(engine.linear(np.eye(weight.shape[1], dtype=np.float32), weight), weight.T)


@both
@given(arguments())
def test_linear_in_x(engine, arguments):
    assert_linear_in(engine.linear, arguments | {"bias": None}, "x")


@both
@given(arguments())
def test_the_bias_is_what_zero_gives(engine, arguments):
    if arguments["bias"] is not None:
        y = engine.linear(**(arguments | {"x": arguments["x"] * 0}))
        np.testing.assert_array_equal(y, np.broadcast_to(arguments["bias"], y.shape))


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    if arguments["bias"] is None:
        assert_float64_is_kept(engine.linear, arguments)


@both
@pytest.mark.parametrize("bits", range(2, 9))
def test_a_packed_weight_is_the_weight_it_stands_for(engine, bits):
    qmin, qmax = refq.integer_range(bits)
    q = np.random.default_rng(bits).integers(qmin, qmax + 1, (5, 24)).astype(np.int32)
    scale, zero_point = np.abs(normal(1, 5, 3)) + np.float32(0.1), np.int32([[1, 0, -1]] * 5)
    x, bias = normal(2, 2, 3, 24), normal(3, 5)
    weight = refq.dequantize(q.reshape(5, 3, 8), scale[..., None], zero_point[..., None]).reshape(5, 24)
    packed = engine.PackedWeight(refq.pack_codes(q, bits), scale, zero_point, bits)
    magnitude = np.abs(x) @ (np.repeat(scale, 8, axis=1) * (np.abs(q) + 1)).T + np.abs(bias)
    difference = np.abs(engine.linear(x, packed, bias) - engine.linear(x, weight, bias))
    assert (difference <= 2 * (24 + 5) * UNIT * magnitude).all()
    gx, gweight, gbias = engine.linear_vjp(normal(4, 2, 3, 5), x, packed, bias)
    expected = engine.linear_vjp(normal(4, 2, 3, 5), x, weight, bias)
    np.testing.assert_allclose(gx, expected[0], atol=1e-5 * qmax)
    np.testing.assert_allclose(gbias, expected[2], atol=1e-5)
    assert gweight is None


WRONG = {
    "weight not transposed": lambda x, weight, bias: refq.linear(x, np.ascontiguousarray(weight.T), bias),
    "square weight not transposed": lambda x, weight, bias: refq.linear(
        x, weight.T.copy() if weight.shape[0] == weight.shape[1] else weight, bias
    ),
    "bias ignored": lambda x, weight, bias: refq.linear(x, weight),
    "bias subtracted": lambda x, weight, bias: refq.linear(x, weight, None if bias is None else -bias),
    "products in float16": lambda x, weight, bias: refq.linear(
        x.astype(np.float16).astype(np.float32), weight.astype(np.float16).astype(np.float32), bias
    ),
    "bias on the rows": lambda x, weight, bias: (
        x @ weight.T if bias is None else x @ weight.T + np.resize(bias, x.shape[0])[..., None]
    ),
}
