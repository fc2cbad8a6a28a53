"""Laws of reassembly."""

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

import refq
from refq.errors import GridError
from tests.laws import channels
from tests.support import both, int_arrays


@st.composite
def arguments(draw):
    maximum = draw(int_arrays((draw(st.integers(1, 9)),), 1, 4)).astype(np.float32)
    maximum[draw(st.integers(0, len(maximum) - 1))] *= draw(st.sampled_from([1, 2, 3]))
    n = len(maximum)
    half = draw(int_arrays((n, n), 0, 60))
    found = {
        "maximum": maximum,
        "distance": ((half + half.T) / 2).astype(np.float32),
        "threshold": draw(st.sampled_from([3.0, 4.0, 6.0, 12.0])),
        "official_order": draw(st.booleans()),
    }
    try:
        refq.reassembly(**found)
    except GridError:  # more are split than others can be merged
        assume(False)
    return found


@both
@given(arguments())
def test_the_number_of_channels_stays(engine, arguments):
    members, sizes, _ = engine.reassembly(**arguments)
    counts = refq.channel_splits(arguments["maximum"], arguments["threshold"])
    assert len(sizes) == len(counts)
    np.testing.assert_array_equal(np.bincount(members, minlength=len(counts)), counts)


@both
@given(arguments())
def test_a_channel_that_was_split_is_in_no_mean(engine, arguments):
    members, sizes, divisors = engine.reassembly(**arguments)
    counts = refq.channel_splits(arguments["maximum"], arguments["threshold"])
    split = counts[members] > 1
    assert (np.repeat(sizes, sizes)[split] == 1).all()
    np.testing.assert_array_equal(np.repeat(divisors, sizes)[split], counts[members][split])


@both
@given(arguments())
def test_nothing_above_the_threshold_nothing_to_do(engine, arguments):
    members, sizes, divisors = engine.reassembly(**(arguments | {"threshold": float(arguments["maximum"].max())}))
    np.testing.assert_array_equal(members, np.arange(len(arguments["maximum"])))
    assert (sizes == 1).all()
    assert (divisors == 1).all()


@both
@given(arguments())
def test_new_channels_stay_below_the_threshold(engine, arguments):
    form = engine.reassembly(**arguments)
    matrix = channels.weighted(len(arguments["maximum"]), form)
    assert (matrix @ arguments["maximum"] <= arguments["threshold"] * (1 + 1e-12)).all()


def _wrong(between=None, fixed=True, order=None, extra=None):
    def reassembly(maximum, distance, threshold, official_order=False):
        refq.reassembly(maximum, distance, threshold, official_order)
        if order is not None:
            return refq.reassembly(maximum, distance, threshold, order(official_order))
        counts = refq.channel_splits(maximum, threshold)
        origin = np.repeat(np.arange(len(counts)), counts)
        spread = (between or (lambda d, o: d[np.ix_(o, o)]))(distance, origin)
        count = int(counts.sum()) - len(counts) if extra is None else extra(counts)
        return refq.assemble(counts, refq.bipartite_matching(spread, count, counts[origin] > 1 if fixed else None))

    return reassembly


WRONG = {
    "the search's order always": _wrong(order=lambda _: True),
    "the search's order never": _wrong(order=lambda _: False),
    "split channels merged too": _wrong(fixed=False),
    "nothing merged": _wrong(extra=lambda counts: 0),
    "as many merged as are split": _wrong(extra=lambda counts: int((counts > 1).sum())),
    "the farthest merged": _wrong(between=lambda d, o: 1000 - d[np.ix_(o, o)]),
}
