"""Laws of swiglu."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws.operations import EDGES, assert_float64_is_kept, assert_linear_in, cost, normal, tenths
from tests.laws.test_silu import sigmoid
from tests.support import both


@st.composite
def arguments(draw):
    shape = draw(st.sampled_from([(), (5,), (3, 4), (2, 2, 3), (0,)]))
    return {"gate": draw(tenths(shape, 100)), "up": draw(tenths(shape))}


def edges():
    for shape in EDGES:
        yield {"gate": normal(1, *shape) * 5, "up": normal(2, *shape)}


def bound(arguments, expected):
    return cost(np.abs(expected), 20) + 2.0**-119 * np.abs(arguments["up"])


@both
@given(arguments())
def test_linear_in_up(engine, arguments):
    assert_linear_in(engine.swiglu, arguments, "up")


@both
@given(arguments())
def test_it_is_silu_where_up_is_one(engine, arguments):
    one = arguments | {"up": np.ones_like(arguments["up"])}
    expected = engine.silu(arguments["gate"])
    assert (np.abs(engine.swiglu(**one) - expected) <= bound(one, expected)).all()


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.swiglu, arguments)


WRONG = {
    "silu of up": lambda gate, up: refq.swiglu(up, gate),
    "no activation": lambda gate, up: gate * up,
    "sigmoid of gate": lambda gate, up: sigmoid(gate) * up,
    "silu of the product": lambda gate, up: refq.silu(gate * up),
    "up plus one": lambda gate, up: refq.swiglu(gate, up + 1),
    "broadcasting": lambda gate, up: refq.swiglu(*map(np.ascontiguousarray, np.broadcast_arrays(gate, up))),
}
