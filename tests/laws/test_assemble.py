"""Laws of assemble."""

import numpy as np
from hypothesis import given

import refq
from tests.laws import channels
from tests.support import both

arguments = channels.assemblies


@both
@given(arguments())
def test_the_parts_of_a_channel_make_it_whole(engine, arguments):
    counts, into = arguments.values()
    form = engine.assemble(**arguments)
    assert {part.dtype for part in form} == {np.dtype(np.int32)}
    matrix = channels.weighted(len(counts), form)
    left_out = np.repeat(np.arange(len(counts)), counts)[into < 0]
    whole = (matrix * form[1][:, None]).sum(axis=0)  # a mean of n, n times: what the channels add up to
    np.testing.assert_allclose(whole, ~np.isin(np.arange(len(counts)), left_out), atol=1e-12)


@both
@given(arguments())
def test_sizes_sum_to_the_parts_that_are_left(engine, arguments):
    members, sizes, divisors = engine.assemble(**arguments)
    assert len(members) == sizes.sum() == (arguments["into"] >= 0).sum()
    assert len(sizes) == len(divisors) == len(set(arguments["into"].tolist()) - {-1})


@both
@given(arguments())
def test_parts_that_all_stay_are_a_disassembly(engine, arguments):
    counts = arguments["counts"]
    members, sizes, divisors = engine.assemble(counts, np.arange(counts.sum()))
    np.testing.assert_array_equal(members, np.repeat(np.arange(len(counts)), counts))
    np.testing.assert_array_equal(divisors, np.repeat(counts, counts))
    assert (sizes == 1).all()


@both
@given(arguments())
def test_members_of_a_channel_ascend(engine, arguments):
    members, sizes, _ = engine.assemble(**arguments)
    for part in np.split(members, np.cumsum(sizes)[:-1]):
        assert (np.diff(part) >= 0).all()


def _wrong(change):
    def assemble(counts, into):
        form = refq.assemble(counts, into)
        return change(*form, np.asarray(counts), np.asarray(into))

    return assemble


def _by_first_member(members, sizes, divisors, counts, into):
    """New channels in the order in which their first members come."""
    runs = np.split(members, np.cumsum(sizes)[:-1])
    order = sorted(range(len(runs)), key=lambda c: runs[c][0])
    return np.concatenate([runs[c] for c in order]), sizes[order], divisors[order]


def _target_first(members, sizes, divisors, counts, into):
    origin, kept = np.repeat(np.arange(len(counts), dtype=np.int32), counts), np.unique(into[into >= 0])
    runs = [[k, *(j for j in np.flatnonzero(into == k) if j != k)] for k in kept]
    return origin[np.concatenate(runs)], sizes, divisors


WRONG = {
    "divided by the size alone": _wrong(lambda m, s, d, counts, into: (m, s, s)),
    "divided by the count alone": _wrong(lambda m, s, d, counts, into: (m, s, d // s)),
    "never divided": _wrong(lambda m, s, d, counts, into: (m, s, np.ones_like(d))),
    "in the order of the first members": _wrong(_by_first_member),
    "the one that stays first": _wrong(_target_first),
    "members are places": _wrong(
        lambda m, s, d, counts, into: (np.argsort(into, kind="stable")[-len(m) :].astype(np.int32), s, d)
    ),
    "the last ones first": _wrong(lambda m, s, d, counts, into: (m[::-1], s[::-1], d[::-1])),
}
