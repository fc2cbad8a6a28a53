"""Laws of rope."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws.operations import UNIT, assert_float64_is_kept, assert_linear_in, cost, normal, tenths
from tests.support import both, int_arrays


@st.composite
def arguments(draw):
    T, half = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    lead = draw(st.sampled_from([(), (2,), (2, 1, 2)]))
    return {
        "x": draw(tenths((*lead, T, 2 * half))),
        "positions": draw(int_arrays((T,), 0, 5000)),
        "frequencies": refq.rope_frequencies(2 * half, 10000.0),
    }


def edges():
    for lead, T, d in (((1,), 1, 2), ((2, 3), 7, 8), ((1, 4, 2), 33, 64), ((8,), 257, 128)):
        frequencies = refq.rope_frequencies(d, 500000.0)
        yield {"x": normal(T, *lead, T, d), "positions": np.arange(1000, 1000 + T), "frequencies": frequencies}


def bound(arguments, expected):
    x = np.abs(arguments["x"])
    return cost(x + np.roll(x, x.shape[-1] // 2, axis=-1), 4)


@both
@given(arguments())
def test_position_zero_changes_nothing(engine, arguments):
    still = engine.rope(**(arguments | {"positions": arguments["positions"] * 0}))
    np.testing.assert_array_equal(still, arguments["x"])


@both
@given(arguments())
def test_pairs_keep_their_length(engine, arguments):
    x, y = (np.split(v.astype(np.float64), 2, axis=-1) for v in (arguments["x"], engine.rope(**arguments)))
    np.testing.assert_allclose(np.hypot(*y), np.hypot(*x), atol=8 * UNIT * np.abs(arguments["x"]).max() + 1e-30)


@both
@given(arguments(), st.integers(-1000, 1000))
def test_products_depend_on_the_distance(engine, arguments, shift):
    arguments["x"] = arguments["x"].astype(np.float64)
    here = engine.rope(**arguments)
    there = engine.rope(**(arguments | {"positions": arguments["positions"] + shift}))
    np.testing.assert_allclose(here @ here.swapaxes(-1, -2), there @ there.swapaxes(-1, -2), atol=1e-9)


@both
@given(arguments())
def test_linear_in_x(engine, arguments):
    assert_linear_in(engine.rope, arguments, "x")


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.rope, arguments)


def wrong(
    angle=lambda p, f: p[..., None] * f, turn=lambda a, b, c, s: (a * c - b * s, b * c + a * s), neighbours=False
):
    def rope(x, positions, frequencies):
        refq.rope(x, positions, frequencies)
        a = angle(np.asarray(positions), frequencies)
        c, s = np.cos(a).astype(x.dtype), np.sin(a).astype(x.dtype)
        if neighbours:
            pair = turn(x[..., ::2], x[..., 1::2], c, s)
            return np.stack(pair, axis=-1).reshape(x.shape)
        return np.concatenate(turn(*np.split(x, 2, axis=-1), c, s), axis=-1)

    return rope


WRONG = {
    "neighbouring pairs": wrong(neighbours=True),
    "clockwise": wrong(turn=lambda a, b, c, s: (a * c + b * s, b * c - a * s)),
    "reflected": wrong(turn=lambda a, b, c, s: (a * c - b * s, a * s - b * c)),
    "sine and cosine swapped": wrong(turn=lambda a, b, c, s: (a * s - b * c, b * s + a * c)),
    "angles in float32": wrong(angle=lambda p, f: p[..., None].astype(np.float32) * f.astype(np.float32)),
    "frequencies in float32": wrong(angle=lambda p, f: p[..., None] * f.astype(np.float32).astype(np.float64)),
    "positions from 1": wrong(angle=lambda p, f: (p + 1)[..., None] * f),
    "positions from 0 whatever is asked": wrong(angle=lambda p, f: (p - p.min())[..., None] * f),
    "frequencies reversed": wrong(angle=lambda p, f: p[..., None] * f[::-1]),
}
