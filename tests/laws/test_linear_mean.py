"""Laws of linear_mean."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import fitted
from tests.support import both

arguments, edges = fitted.linear_arguments, fitted.linear_edges


@both
@given(arguments())
def test_a_codebook_a_group_that_ascends(engine, arguments):
    groups, entries = arguments["groups"], 2 ** arguments["bits"]
    codebook, index = engine.linear_mean(**arguments)
    assert (codebook.dtype, index.dtype) == (np.float32, np.uint8)
    assert codebook.shape == (len(groups), entries)
    assert index.shape == groups.shape
    assert (np.diff(codebook.astype(np.float64)) >= 0).all()
    assert (codebook >= groups.min(axis=-1, keepdims=True)).all()
    assert (codebook <= groups.max(axis=-1, keepdims=True)).all()


@both
@given(arguments())
def test_the_ends_are_in_the_first_and_the_last_bin(engine, arguments):
    groups = arguments["groups"]
    _, index = engine.linear_mean(**arguments)
    lo, hi = groups.min(axis=-1, keepdims=True), groups.max(axis=-1, keepdims=True)
    assert (index[groups == lo] == 0).all()
    last = np.broadcast_to(np.where(lo == hi, 0, 2 ** arguments["bits"] - 1), groups.shape)
    np.testing.assert_array_equal(index[groups == hi], last[groups == hi])


@both
@given(arguments(), st.sampled_from([-1e-3, 1e-4, 1e-2]))
def test_no_other_entries_are_better_for_this_index(engine, arguments, change):
    groups = arguments["groups"]
    codebook, index = engine.linear_mean(**arguments)
    wide = groups.astype(np.float64)
    error = fitted.squared_error(wide, codebook, index)
    other = fitted.squared_error(wide, codebook * np.float64(1 + change), index)
    rounding = groups.shape[-1] * (np.abs(codebook.astype(np.float64)).max(axis=-1) * 2.0**-24 + 1e-45) ** 2
    assert (error <= other + rounding + 1e-12 * other).all()


@both
@given(arguments())
def test_a_power_of_two_scales_the_codebook(engine, arguments):
    arguments["groups"] = np.clip(np.where(np.abs(arguments["groups"]) < 1e-30, 0, arguments["groups"]), -1e37, 1e37)
    codebook, index = engine.linear_mean(**arguments)
    codebook_8, index_8 = engine.linear_mean(arguments["groups"] * np.float32(8), arguments["bits"])
    np.testing.assert_array_equal(index_8, index)
    np.testing.assert_array_equal(codebook_8, codebook * np.float32(8))


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    fitted.assert_float64_is_kept(engine, "linear_mean", **arguments)


def _ends(groups):
    return (end(axis=-1, keepdims=True).astype(np.float64) for end in (groups.min, groups.max))


def _wrong(index=None, entries=None, real=np.float64):
    """linear_mean with another index or other entries; index(x, lo, hi, bins), entries(codebook, members, middle)."""

    def linear_mean(groups, bits):
        codebook, right = refq.linear_mean(groups, bits)
        lo, hi = _ends(groups)
        with np.errstate(all="ignore"):
            found = right if index is None else np.nan_to_num(index(groups.astype(real), lo, hi, 2**bits))
        found = np.where(lo == hi, 0, found).astype(np.int64).astype(np.uint8)
        middle = (lo + (hi - lo) * (np.arange(2**bits) + 0.5) / 2**bits).astype(groups.dtype)
        for place in np.ndindex(*groups.shape[:-1]):
            for i in range(2**bits):
                members = groups[place][found[place] == i]
                with np.errstate(all="ignore"):
                    codebook[place][i] = (entries or _mean)(members, middle[place][i])
        return codebook, found

    return linear_mean


def _mean(members, middle):
    return members.astype(np.float64).mean() if members.size else middle


def _floor(x, lo, hi, bins):
    return np.minimum(np.floor((x - lo) * bins / (hi - lo)), bins - 1)


WRONG = {
    "hi in a bin after the last": _wrong(lambda x, lo, hi, bins: np.floor((x - lo) * bins / (hi - lo))),
    "rounded to the nearest bin": _wrong(lambda x, lo, hi, bins: np.rint((x - lo) / (hi - lo) * (bins - 1))),
    "middles for means": _wrong(entries=lambda members, middle: middle),
    "an empty bin is 0": _wrong(entries=lambda members, middle: _mean(members, 0)),
    "an empty bin is NaN": _wrong(entries=lambda members, middle: _mean(members, np.nan)),
    "differences in float32": _wrong(
        lambda x, lo, hi, bins: _floor(x, np.float32(lo), np.float32(hi), bins), real=np.float32
    ),
    "divided first": _wrong(
        lambda x, lo, hi, bins: np.minimum(np.floor(x / ((hi - lo) / bins) - lo / ((hi - lo) / bins)), bins - 1)
    ),
    "an edge belongs to the bin below": _wrong(
        lambda x, lo, hi, bins: np.maximum(np.ceil((x - lo) * bins / (hi - lo)) - 1, 0)
    ),
    "sums in float32": _wrong(
        entries=lambda members, middle: (
            members.sum(dtype=np.float32) / np.float32(members.size) if members.size else middle
        )
    ),
    "the median for the mean": _wrong(entries=lambda members, middle: np.median(members) if members.size else middle),
    "one codebook for all groups": fitted.one_for_all("linear_mean"),
}
