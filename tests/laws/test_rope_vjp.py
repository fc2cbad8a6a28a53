"""Laws of rope_vjp."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import test_rope
from tests.laws.operations import UNIT, assert_linear_in, normal, tenths
from tests.support import both


@st.composite
def arguments(draw):
    forward = draw(test_rope.arguments())
    return {"g": draw(tenths(forward["x"].shape))} | forward


def edges():
    for forward in test_rope.edges():
        yield {"g": normal(4, *forward["x"].shape)} | forward


def bound(arguments, expected):
    return test_rope.bound({"x": arguments["g"]}, expected)


@both
@given(arguments())
def test_linear_in_g(engine, arguments):
    assert_linear_in(engine.rope_vjp, arguments)


@both
@given(arguments())
def test_it_undoes_rope(engine, arguments):
    forward = {name: v for name, v in arguments.items() if name != "g"}
    back = engine.rope_vjp(engine.rope(**forward), **forward)
    np.testing.assert_allclose(back, arguments["x"], atol=16 * UNIT * np.abs(arguments["x"]).max() + 1e-30)


@both
@given(arguments())
def test_x_does_not_enter(engine, arguments):
    moved = engine.rope_vjp(**(arguments | {"x": arguments["x"] + 1}))
    np.testing.assert_array_equal(moved, engine.rope_vjp(**arguments))


def _back(rope):
    return lambda g, x, positions, frequencies: rope(g, -positions, frequencies)


WRONG = {
    "forward again": lambda g, x, positions, frequencies: refq.rope(g, positions, frequencies),
    "neighbouring pairs": _back(test_rope.wrong(neighbours=True)),
    "angles in float32": _back(
        test_rope.wrong(angle=lambda p, f: p[..., None].astype(np.float32) * f.astype(np.float32))
    ),
    "straight through": lambda g, x, positions, frequencies: g,
}
