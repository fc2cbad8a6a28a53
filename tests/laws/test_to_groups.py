"""Laws of to_groups."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.support import both


@st.composite
def arguments(draw):
    shape = tuple(draw(st.lists(st.integers(1, 6), min_size=1, max_size=3)))
    axis = draw(st.one_of(st.none(), st.integers(-len(shape), len(shape) - 1)))
    length = int(np.prod(shape)) if axis is None else shape[axis]
    size = draw(st.sampled_from([None] + [g for g in range(1, length + 1) if length % g == 0]))
    return {"x": np.arange(np.prod(shape), dtype=np.int32).reshape(shape), "group_size": size, "axis": axis}


@both
@given(arguments())
def test_every_element_appears_once(engine, arguments):
    groups = engine.to_groups(**arguments)
    assert sorted(groups.reshape(-1)) == list(range(arguments["x"].size))


@both
@given(arguments())
def test_neighbours_along_the_axis_stay_neighbours(engine, arguments):
    x, axis = arguments["x"], arguments["axis"]
    stride = 1 if axis is None else x.strides[axis] // x.itemsize
    assert (np.diff(engine.to_groups(**arguments), axis=-1) == stride).all()


@both
@given(arguments())
def test_from_groups_undoes_it(engine, arguments):
    x, axis = arguments["x"], arguments["axis"]
    np.testing.assert_array_equal(engine.from_groups(engine.to_groups(**arguments), x.shape, axis), x)


@both
def test_a_row_cut_along_the_last_axis_is_a_view(engine):
    x = np.zeros((2, 8), np.float32)
    assert np.shares_memory(engine.to_groups(x, 4), x)


def _strided(x, group_size=None, axis=-1):
    x = np.moveaxis(x.reshape(-1) if axis is None else x, -1 if axis is None else axis, -1)
    size = group_size or x.shape[-1]
    return np.swapaxes(x.reshape(*x.shape[:-1], size, -1), -1, -2)


def _axis_kept(x, group_size=None, axis=-1):
    return x.reshape(*x.shape[:-1], -1, group_size or x.shape[-1])


WRONG = {
    "strided instead of neighbours": _strided,
    "axis ignored": _axis_kept,
    "remainder dropped": lambda x, group_size=None, axis=-1: _drop(x, group_size, axis),
}


def _drop(x, group_size, axis):
    x = np.moveaxis(x.reshape(-1) if axis is None else x, -1 if axis is None else axis, -1)
    size = group_size or x.shape[-1]
    n = x.shape[-1] // size
    return x[..., : n * size].reshape(*x.shape[:-1], n, size)
