"""Laws of channel_pruning."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import channels
from tests.support import both, int_arrays


@st.composite
def arguments(draw):
    layer = draw(channels.layers())
    n = layer["x"].shape[1]
    fixed = draw(st.none() | int_arrays((n,), 0, 3).map(lambda v: v == 0))
    return layer | {"count": draw(st.integers(0, n if fixed is None else int((~fixed).sum()))), "fixed": fixed}


@both
@given(arguments())
def test_count_channels_go_and_none_that_is_fixed(engine, arguments):
    into = engine.channel_pruning(**arguments)
    assert into.dtype == np.int32
    assert (into == -1).sum() == arguments["count"]
    np.testing.assert_array_equal(into[into >= 0], np.flatnonzero(into >= 0))
    assert arguments["fixed"] is None or (into[arguments["fixed"]] >= 0).all()


@both
@given(arguments())
def test_what_goes_adds_no_more_than_what_stays(engine, arguments):
    x, w = arguments["x"].astype(np.float64), arguments["w"].astype(np.float64)
    added = [(np.outer(x[:, i], w[:, i]) ** 2).sum() for i in range(x.shape[1])]
    into = engine.channel_pruning(**arguments)
    free = np.ones(len(into), bool) if arguments["fixed"] is None else ~arguments["fixed"]
    stay, gone = np.array(added)[free & (into >= 0)], np.array(added)[into < 0]
    assert not len(stay) or not len(gone) or gone.max() <= stay.min() * (1 + 1e-12)


@both
@given(arguments())
def test_one_more_changes_no_other(engine, arguments):
    if arguments["count"]:
        more = engine.channel_pruning(**arguments)
        fewer = engine.channel_pruning(**(arguments | {"count": arguments["count"] - 1}))
        assert (more != fewer).sum() == 1


def _wrong(size, order=1, last=False, ignore=False):
    def channel_pruning(x, w, count, fixed=None):
        into = refq.channel_pruning(x, w, count, fixed)
        keys = order * size(x.astype(np.float64), w.astype(np.float64))
        free = np.arange(len(into)) if fixed is None or ignore else np.flatnonzero(~fixed)
        free = free[::-1] if last else free
        into = np.arange(len(into), dtype=np.int32)
        into[free[np.argsort(keys[free], kind="stable")[:count]]] = -1
        return into

    return channel_pruning


def _right(x, w):
    return (x**2).sum(axis=0) * (w**2).sum(axis=0)


WRONG = {
    "x alone": _wrong(lambda x, w: (x**2).sum(axis=0)),
    "the largest numbers": _wrong(lambda x, w: np.abs(x).max(axis=0) * np.abs(w).max(axis=0)),
    "sizes, not squares": _wrong(lambda x, w: np.abs(x).sum(axis=0) * np.abs(w).sum(axis=0)),
    "the largest go": _wrong(_right, order=-1),
    "of equal ones the last": _wrong(_right, last=True),
    "fixed ignored": _wrong(_right, ignore=True),
}
