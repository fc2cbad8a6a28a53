"""Laws of soft_clamp."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refq
from refq.errors import GridError
from tests.laws.operations import EDGES, assert_float64_is_kept, normal, tenths
from tests.laws.soft import clamp, gates, sigmoid
from tests.support import both


@st.composite
def arguments(draw):
    """Limits one for all, a row, or a column; x inside and outside."""
    rows, columns = draw(st.sampled_from([(1, 1), (3, 4), (2, 7), (0, 2)]))
    shape = draw(st.sampled_from([(1,), (1, 1), (rows, 1), (columns,), (rows, columns)]))
    minimum = draw(tenths(shape, 80))
    width = np.abs(draw(tenths(shape, 100))) + np.float32(0.1)
    beta = draw(st.sampled_from([1 / 1024, 0.25, 1, 2.5, 1024.0]))
    return {"x": draw(tenths((rows, columns), 200)), "minimum": minimum, "maximum": minimum + width, "beta": beta}


def edges():
    for i, shape in enumerate([*EDGES, (2, 5000)]):
        limit = np.abs(normal(3, *[(1,), (shape[0], 1), (shape[1],), shape][i % 4])) + np.float32(0.5)
        yield {"x": normal(1, *shape) * 4, "minimum": -2 * limit, "maximum": limit, "beta": (1.0, 3.0)[i % 2]}


def bound(arguments, expected):
    return clamp(*arguments.values())[1]


@both
@given(arguments())
def test_mirrored(engine, arguments):
    x, minimum, maximum, beta = arguments.values()
    y = engine.soft_clamp(-x, -maximum, -minimum, beta)
    assert (np.abs(y + engine.soft_clamp(**arguments)) <= bound(arguments, None)).all()


@both
@given(arguments())
def test_near_clip_where_the_limits_are_apart(engine, arguments):
    """Beyond a limit by at most 0.2785 / beta, off by at most a third of the width of a corner."""
    apart = np.maximum(np.abs(arguments["minimum"]), np.float32(20 / arguments["beta"]))
    arguments |= {"minimum": -apart, "maximum": apart * np.float32(1.5)}
    x, minimum, maximum, beta = arguments.values()
    y = engine.soft_clamp(**arguments)
    over = 0.2785 / beta + 1e-5 * maximum
    assert ((minimum - over <= y) & (y <= maximum + over)).all()
    assert (np.abs(y - np.clip(x, minimum, maximum)) <= over).all()


@both
@given(arguments(), st.sampled_from([-3.0, 0.5, 10.0]))
def test_moving_it_all_adds_the_move_and_a_product_of_gates(engine, arguments, by):
    y = engine.soft_clamp(**arguments)
    moved = arguments | {name: arguments[name] + np.float32(by) for name in ("x", "minimum", "maximum")}
    _, (not_a, not_b), _ = gates(*arguments.values())
    error = np.abs(engine.soft_clamp(**moved) - (y + by * (1 + not_a * not_b)))
    x = np.abs(arguments["x"]) + np.abs(arguments["minimum"]) + np.abs(arguments["maximum"]) + np.abs(by)
    # the sums x + by are rounded, which beta makes larger
    assert (error <= bound(arguments, None) + bound(moved, None) + x * x * arguments["beta"] * 2.0**-20).all()


@both
@given(arguments())
def test_is_a_difference_of_two_silus_where_the_limits_are_apart(engine, arguments):
    apart = np.abs(arguments["minimum"]) + np.float32(20)
    arguments |= {"minimum": -apart, "maximum": apart, "beta": 1}
    x = arguments["x"]
    expected = -apart + engine.silu(x + apart) - engine.silu(x - apart)
    np.testing.assert_allclose(engine.soft_clamp(**arguments), expected, atol=1e-3)


@both
@pytest.mark.parametrize("beta", [0, -1, 1 / 1025, 1025, float("nan")])
def test_beta_beyond_its_range_is_refused(engine, beta):
    with pytest.raises(GridError, match="beta="):
        engine.soft_clamp(np.float32([1]), 0.0, 1.0, beta)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    arguments["beta"] = min(arguments["beta"], 2.5)
    assert_float64_is_kept(engine.soft_clamp, arguments)


def _wrong(formula):
    def soft_clamp(x, minimum, maximum, beta=1.0):
        refq.soft_clamp(x, minimum, maximum, beta)  # for the errors
        y = formula(*(np.asarray(v, np.float64) for v in (x, minimum, maximum)), lambda t: sigmoid(beta * t))
        return np.asarray(y, x.dtype)

    return soft_clamp


WRONG = {
    "clip": _wrong(lambda x, low, high, s: np.clip(x, low, high)),
    "beta forgotten": lambda x, minimum, maximum, beta=1.0: refq.soft_clamp(x, minimum, maximum),
    "difference of two silus": _wrong(lambda x, low, high, s: low + (x - low) * s(x - low) - (x - high) * s(x - high)),
    "centred first": _wrong(
        lambda x, low, high, s: (x - low) * s(x - low) * s(high - x) + (high - low) * s(x - high) + low
    ),
    "without what lies outside": _wrong(lambda x, low, high, s: x * s(x - low) * s(high - x)),
    "limits exchanged": _wrong(
        lambda x, low, high, s: x * s(x - low) * s(high - x) + high * s(low - x) + low * s(x - high)
    ),
    "softplus": _wrong(lambda x, low, high, s: low - np.log(np.maximum(s(low - x), 1e-300)) + np.log(s(high - x))),
    "NaN far out": lambda x, minimum, maximum, beta=1.0: (
        refq.soft_clamp(x, minimum, maximum, beta) * np.where(np.abs(x) > 88, np.float32(np.nan), np.float32(1))
    ),
}
