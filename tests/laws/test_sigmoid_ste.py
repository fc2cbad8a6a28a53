"""Laws of sigmoid_ste."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refq
from refq.errors import GridError
from tests.support import both, floats32, half_grid


@st.composite
def arguments(draw):
    shape = draw(st.sampled_from([(), (5,), (3, 4), (2, 2, 3), (0,)]))
    x = draw(half_grid(shape) | floats32(shape, 20.0))
    return {"x": x, "sharpness": draw(st.sampled_from([0, 0.5, 5.0, 100, 1024.0]))}


@both
@given(arguments())
def test_whole_numbers_at_most_a_half_away(engine, arguments):
    y = engine.sigmoid_ste(**arguments)
    assert (y == np.rint(y)).all()
    assert (np.abs(y - arguments["x"]) <= 0.5).all()


@both
@given(arguments())
def test_sharpness_is_no_part_of_the_value(engine, arguments):
    y = engine.sigmoid_ste(**arguments)
    np.testing.assert_array_equal(engine.sigmoid_ste(**(arguments | {"sharpness": 7.0})), y)


@both
@given(arguments())
def test_rounds_twice_what_it_rounds_once(engine, arguments):
    y = engine.sigmoid_ste(**arguments)
    np.testing.assert_array_equal(engine.sigmoid_ste(y, arguments["sharpness"]), y)


@both
@pytest.mark.parametrize("sharpness", [-0.5, 1024.5, float("nan"), float("inf")])
def test_sharpness_beyond_its_range_is_refused(engine, sharpness):
    with pytest.raises(GridError, match="sharpness="):
        engine.sigmoid_ste(np.float32([1]), sharpness)


def _staircase(x, sharpness):
    y = refq.sigmoid_ste(x, sharpness)  # for the errors
    with np.errstate(all="ignore"):
        u = x - np.floor(x) - 0.5
        return y if sharpness == 0 else (np.floor(x) + 1 / (1 + np.exp(-sharpness * u))).astype(x.dtype)


WRONG = {
    "the staircase itself": _staircase,
    "ties up": lambda x, sharpness: np.floor(x + np.float32(0.5)) + 0 * refq.sigmoid_ste(x, sharpness),
    "ties away from zero": lambda x, sharpness: (
        np.copysign(np.floor(np.abs(x) + 0.5), x) + 0 * refq.sigmoid_ste(x, sharpness)
    ),
    "truncation": lambda x, sharpness: np.trunc(x) + 0 * refq.sigmoid_ste(x, sharpness),
    "identity": lambda x, sharpness: x + 0 * refq.sigmoid_ste(x, sharpness),
    "any sharpness": lambda x, sharpness: refq.sigmoid_ste(x, 1.0),
}
