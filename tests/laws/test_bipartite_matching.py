"""Laws of bipartite_matching."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.support import both, int_arrays


@st.composite
def arguments(draw):
    n = draw(st.integers(1, 8))
    half = draw(int_arrays((n, n), 0, draw(st.sampled_from([3, 60]))))
    fixed = draw(st.none() | int_arrays((n,), 0, 3).map(lambda v: v == 0))
    free = np.ones(n, bool) if fixed is None else ~fixed
    most = int(free[::2].sum()) if free[1::2].any() else 0
    distance = ((half + half.T) / 2).astype(np.float32)
    return {"distance": distance, "count": draw(st.integers(0, most)), "fixed": fixed}


@both
@given(arguments())
def test_count_channels_go_into_channels_that_stay(engine, arguments):
    into = engine.bipartite_matching(**arguments)
    assert into.dtype == np.int32
    gone = np.flatnonzero(into != np.arange(len(into)))
    assert len(gone) == arguments["count"]
    assert (gone % 2 == 0).all()
    assert (into[gone] % 2 == 1).all()
    if arguments["fixed"] is not None:
        assert not arguments["fixed"][gone].any()
        assert not arguments["fixed"][into[gone]].any()


@both
@given(arguments())
def test_one_more_changes_no_other(engine, arguments):
    if arguments["count"]:
        more = engine.bipartite_matching(**arguments)
        fewer = engine.bipartite_matching(**(arguments | {"count": arguments["count"] - 1}))
        assert (more != fewer).sum() == 1


@both
@given(arguments())
def test_what_goes_loses_no_more_than_what_stays(engine, arguments):
    distance, into = arguments["distance"], engine.bipartite_matching(**arguments)
    free = np.ones(len(into), bool) if arguments["fixed"] is None else ~arguments["fixed"]
    even, odd = (
        np.flatnonzero(free)[np.flatnonzero(free) % 2 == 0],
        np.flatnonzero(free & (np.arange(len(free)) % 2 == 1)),
    )
    if arguments["count"]:
        least = distance[np.ix_(even, odd)].min(axis=1)
        gone = into[even] != even
        assert (distance[even[gone], into[even[gone]]] == least[gone]).all()
        assert gone.all() or least[gone].max() <= least[~gone].min()


@both
@given(arguments(), st.sampled_from([0.5, 8.0]))
def test_a_factor_changes_nothing(engine, arguments, factor):
    scaled = arguments | {"distance": arguments["distance"] * np.float32(factor)}
    np.testing.assert_array_equal(engine.bipartite_matching(**scaled), engine.bipartite_matching(**arguments))


def _wrong(side=0, pick=np.argmin, order=1, packed=False, last=False, once=False, ignore=False):
    """bipartite_matching the other way round, to the farthest, of the worst, places of free channels counted ..."""

    def bipartite_matching(distance, count, fixed=None):
        into = refq.bipartite_matching(distance, count, fixed)
        if not count:
            return into
        free = np.ones(len(into), bool) if fixed is None or ignore else ~fixed
        places = np.flatnonzero(free)
        halves = [places[s::2] if packed else places[places % 2 == s] for s in (side, 1 - side)]
        a, b = halves
        if last:
            a, b = a[::-1], b[::-1]
        between = distance[np.ix_(a, b)] * 1.0
        into = np.arange(len(into), dtype=np.int32)
        for _ in range(min(count, len(a) if not once else min(len(a), len(b)))):
            near = pick(between, axis=1)
            cost = between[np.arange(len(a)), near]
            cost[into[a] != a] = np.inf * order
            chosen = int(np.argmin(cost * order))
            into[a[chosen]] = b[near[chosen]]
            if once:
                between[:, near[chosen]] = 1e30
        return into

    return bipartite_matching


WRONG = {
    "odd ones go": _wrong(side=1),
    "into the farthest": _wrong(pick=np.argmax),
    "those that lose most": _wrong(order=-1),
    "places of the free ones counted": _wrong(packed=True),
    "of equal ones the last": _wrong(last=True),
    "each takes one in at most": _wrong(once=True),
    "fixed ignored": _wrong(ignore=True),
    "all of them go": lambda distance, count, fixed: refq.bipartite_matching(
        distance, count and len(range(0, len(distance), 2)) if fixed is None else count, fixed
    ),
}
