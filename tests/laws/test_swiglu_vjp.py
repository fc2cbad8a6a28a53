"""Laws of swiglu_vjp."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import test_silu_vjp, test_swiglu
from tests.laws.operations import assert_float64_is_kept, assert_linear_in, cost, normal, tenths
from tests.support import both


@st.composite
def arguments(draw):
    forward = draw(test_swiglu.arguments())
    return {"g": draw(tenths(forward["gate"].shape))} | forward


def edges():
    for forward in test_swiglu.edges():
        yield {"g": normal(4, *forward["gate"].shape)} | forward


def bound(arguments, expected):
    g, gate, up = (np.abs(array.astype(np.float64)) for array in arguments.values())
    ggate = test_silu_vjp.bound({"g": g * up, "x": arguments["gate"]}, None)
    return [ggate, cost(g * np.abs(refq.silu(arguments["gate"].astype(np.float64))), 20) + 2.0**-119 * g]


@both
@given(arguments())
def test_linear_in_g(engine, arguments):
    assert_linear_in(engine.swiglu_vjp, arguments)


@both
@given(arguments())
def test_the_slope_along_up_is_the_result(engine, arguments):
    _, gup = engine.swiglu_vjp(**arguments)
    along = arguments["g"] * engine.swiglu(arguments["gate"], arguments["up"])
    np.testing.assert_allclose(gup * arguments["up"], along, atol=1e-4)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.swiglu_vjp, arguments)


WRONG = {
    "results swapped": lambda g, gate, up: refq.swiglu_vjp(g, gate, up)[::-1],
    "silu of up": lambda g, gate, up: refq.swiglu_vjp(g, up, gate)[::-1],
    "up forgotten": lambda g, gate, up: (refq.silu_vjp(g, gate), refq.swiglu_vjp(g, gate, up)[1]),
    "gate not activated": lambda g, gate, up: (refq.swiglu_vjp(g, gate, up)[0], g * gate),
    "no slope of silu": lambda g, gate, up: (g * up, refq.swiglu_vjp(g, gate, up)[1]),
}
