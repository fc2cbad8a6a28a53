"""Laws of dynamic_fake_quantize_vjp."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import test_dynamic_fake_quantize as forward
from tests.laws.operations import assert_linear_in, normal, tenths
from tests.support import both


@st.composite
def arguments(draw):
    rest = draw(forward.arguments())
    return {"g": draw(tenths(rest["x"].shape))} | rest


def edges():
    for rest in forward.edges():
        yield {"g": normal(4, *rest["x"].shape)} | rest


@both
@given(arguments())
def test_linear_in_g(engine, arguments):
    assert_linear_in(engine.dynamic_fake_quantize_vjp, arguments)


@both
@given(arguments())
def test_a_symmetric_range_clips_nothing(engine, arguments):
    arguments["symmetric"] = True
    np.testing.assert_array_equal(engine.dynamic_fake_quantize_vjp(**arguments), arguments["g"])


@both
@given(arguments())
def test_only_ends_are_clipped(engine, arguments):
    arguments |= {"g": np.ones_like(arguments["g"]), "symmetric": False}
    x, bits = arguments["x"], arguments["bits"]
    lo, hi = np.minimum(x.min(axis=-1, keepdims=True), 0), np.maximum(x.max(axis=-1, keepdims=True), 0)
    step = (hi - lo) / np.float32(2**bits - 1)
    stopped = engine.dynamic_fake_quantize_vjp(**arguments) == 0
    assert ((x - lo <= step * 0.51) | (hi - x <= step * 0.51))[stopped].all()


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    arguments |= {"g": arguments["g"].astype(np.float64), "x": arguments["x"].astype(np.float64)}
    gx = engine.dynamic_fake_quantize_vjp(**arguments)
    assert gx.dtype == np.float64
    np.testing.assert_array_equal(gx, refq.dynamic_fake_quantize_vjp(**arguments))


def _on_quotient(g, x, bits, symmetric=False):
    qmin, qmax = refq.integer_range(bits)
    scale, zero_point = refq.minmax(x, qmin, qmax, symmetric)
    u = x / scale + zero_point.astype(np.float32)
    return np.where((qmin < u) & (u < qmax), g, 0).astype(np.float32)


def _ends_stopped(g, x, bits, symmetric=False):
    ends = (x == x.min(axis=-1, keepdims=True)) | (x == x.max(axis=-1, keepdims=True))
    return np.where(ends, 0, g).astype(np.float32)


WRONG = {
    "never clipped": lambda g, **rest: refq.dynamic_fake_quantize_vjp(g, **rest) * 0 + g,
    "true derivative": lambda g, **rest: np.zeros_like(g),
    "strictly inside, on the quotient": _on_quotient,
    "the ends get nothing": _ends_stopped,
    "symmetric forgotten": lambda g, x, bits, symmetric=False: refq.dynamic_fake_quantize_vjp(g, x, bits),
    "one grid for all": lambda g, x, bits, symmetric=False: refq.dynamic_fake_quantize_vjp(
        g.reshape(-1), x.reshape(-1), bits, symmetric
    ).reshape(x.shape),
    "g is not looked at": lambda g, x, **rest: refq.dynamic_fake_quantize_vjp(np.ones_like(x), x, **rest),
}
