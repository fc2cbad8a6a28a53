"""Laws of lloyd_step."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import fitted
from tests.support import both


@st.composite
def arguments(draw):
    groups = draw(fitted.groups())
    k = draw(st.sampled_from([1, 2, 3, 5, 8, 40]))
    places = draw(st.lists(st.integers(0, groups.shape[1] - 1), min_size=k, max_size=k))
    shift = draw(st.sampled_from([0, 0, 1, 0.5]))
    return {"groups": groups, "codebook": (groups[:, places] * np.float32(1 - shift / 4)).astype(np.float32)}


def edges():
    random = np.random.default_rng(2)
    for i, x in enumerate(fitted.large_groups([(1, 1), (3, 31), (2, 3, 8193), (65, 33), (1, 70001)])):
        k = (1, 2, 256, 33, 16)[i]
        yield {"groups": x, "codebook": random.standard_normal((*x.shape[:-1], k)).astype(np.float32)}


@both
@given(arguments())
def test_the_index_is_that_of_the_nearest_entry(engine, arguments):
    codebook, index = engine.lloyd_step(**arguments)
    assert (codebook.dtype, index.dtype) == (np.float32, np.uint8)
    assert codebook.shape == arguments["codebook"].shape
    for group, table, found in zip(arguments["groups"], arguments["codebook"], index, strict=True):
        if table.size > 1:
            expected = refq.codebook_quantize(group, np.float32(1), table)
            np.testing.assert_array_equal(found, expected)
        assert found.max() < table.size


@both
@given(arguments())
def test_entries_are_means_of_their_members_or_stay(engine, arguments):
    codebook, index = engine.lloyd_step(**arguments)
    for g, group in enumerate(arguments["groups"].astype(np.float64)):
        for i, entry in enumerate(codebook[g]):
            members = group[index[g] == i]
            if members.size:
                bound = np.abs(members).max() * 2.0**-23 + 1e-45
                assert abs(np.float64(entry) - members.mean()) <= bound
            else:
                assert entry == arguments["codebook"][g, i]


@both
@given(arguments())
def test_the_squared_error_does_not_rise(engine, arguments):
    groups, before = arguments["groups"].astype(np.float64), arguments["codebook"].astype(np.float64)
    codebook, index = engine.lloyd_step(**arguments)
    after = fitted.squared_error(groups, codebook.astype(np.float64), index)
    rounding = groups.shape[1] * (np.abs(groups).max(axis=-1) * 2.0**-24 + 1e-45) ** 2
    assert (after <= fitted.squared_error(groups, before, index) * (1 + 1e-12) + rounding).all()


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    arguments = {name: value.astype(np.float64) * (1 + 2.0**-40) for name, value in arguments.items()}
    found = engine.lloyd_step(**arguments)
    assert found[0].dtype == np.float64
    np.testing.assert_equal(found, refq.lloyd_step(**arguments))


def _wrong(index=None, mean=None, after=False):
    """lloyd_step with another index(x, table), other means(members, entry), or the index of the new codebook."""

    def lloyd_step(groups, codebook):
        new, right = refq.lloyd_step(groups, codebook)
        for place in np.ndindex(*groups.shape[:-1]):
            with np.errstate(all="ignore"):
                found = right[place] if index is None else index(groups[place], codebook[place]).astype(np.uint8)
                for i, entry in enumerate(codebook[place]):
                    new[place][i] = (mean or _mean)(groups[place][found == i], entry)
            right[place] = found
        return new, fitted.nearest(groups, new) if after else right

    return lloyd_step


def _mean(members, entry):
    return members.astype(np.float64).mean() if members.size else entry


def _last(x, table):
    return table.size - 1 - fitted.nearest(x, table[::-1])


def _by_value(x, table, side="left", real=np.float64):
    order = np.argsort(table, kind="stable")
    middle = table[order].astype(real)
    return order[np.searchsorted((middle[1:] + middle[:-1]) / real(2), x.astype(real), side=side)]


WRONG = {
    "ties to the higher index": _wrong(_last),
    "ties to the lower value": _wrong(_by_value),
    "middles in float32": _wrong(lambda x, table: _by_value(x, table, real=np.float32)),
    "a table taken for sorted": _wrong(
        lambda x, table: np.searchsorted((table[1:] + table[:-1]) / 2, x).clip(0, table.size - 1)
    ),
    "sums in float32": _wrong(mean=lambda v, entry: v.sum(dtype=np.float32) / np.float32(v.size) if v.size else entry),
    "the median": _wrong(mean=lambda v, entry: np.median(v) if v.size else entry),
    "an empty entry is 0": _wrong(mean=lambda v, entry: _mean(v, 0)),
    "an empty entry is NaN": _wrong(mean=lambda v, entry: _mean(v, np.nan)),
    "the index of the new codebook": _wrong(after=True),
    "the codebook is not moved": lambda groups, codebook: (codebook, refq.lloyd_step(groups, codebook)[1]),
    "half way to the mean": _wrong(mean=lambda v, entry: (_mean(v, entry) + np.float64(entry)) / 2),
}
