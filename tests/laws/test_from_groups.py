"""Laws of from_groups."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws.test_to_groups import arguments as to_groups_arguments
from tests.support import both


@st.composite
def arguments(draw):
    cut = draw(to_groups_arguments())
    return {"groups": refq.to_groups(**cut), "shape": list(cut["x"].shape), "axis": cut["axis"]}


@both
@given(arguments())
def test_the_counted_array_comes_back(engine, arguments):
    shape = arguments["shape"]
    np.testing.assert_array_equal(
        engine.from_groups(**arguments), np.arange(np.prod(shape), dtype=np.int32).reshape(shape)
    )


@both
@given(arguments())
def test_to_groups_undoes_it(engine, arguments):
    groups = arguments["groups"]
    np.testing.assert_array_equal(
        engine.to_groups(engine.from_groups(**arguments), groups.shape[-1], arguments["axis"]), groups
    )


WRONG = {
    "axis ignored": lambda groups, shape, axis=-1: groups.reshape(shape),
    "groups side by side": lambda groups, shape, axis=-1: np.swapaxes(groups, -1, -2).reshape(shape),
}
