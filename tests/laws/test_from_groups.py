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


@both
@given(arguments())
def test_what_belongs_to_a_group_runs_along_the_axis(engine, arguments):
    groups, axis = arguments["groups"], arguments["axis"]
    numbers = np.arange(groups[..., 0].size).reshape(groups.shape[:-1])
    found = engine.from_groups(np.broadcast_to(numbers[..., None], groups.shape).copy(), arguments["shape"], axis)
    lines = found.reshape(-1) if axis is None else np.moveaxis(found, axis, -1)
    np.testing.assert_array_equal(lines, np.repeat(numbers, groups.shape[-1], axis=-1).reshape(lines.shape))


@both
@given(arguments())
def test_elementwise_work_may_come_before_or_after(engine, arguments):
    before = engine.from_groups(**arguments | {"groups": arguments["groups"] * np.float32(0.5)})
    np.testing.assert_array_equal(before, engine.from_groups(**arguments) * np.float32(0.5))


WRONG = {
    "axis ignored": lambda groups, shape, axis=-1: groups.reshape(shape),
    "groups side by side": lambda groups, shape, axis=-1: np.swapaxes(groups, -1, -2).reshape(shape),
}
