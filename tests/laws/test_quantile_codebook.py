"""Laws of quantile_codebook."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import fitted
from tests.support import both


@st.composite
def arguments(draw):
    return {"groups": draw(fitted.groups()), "bits": draw(st.integers(1, 8))}


def edges():
    for i, x in enumerate(fitted.large_groups([(1, 1), (3, 31), (2, 3, 8193), (65, 33), (1, 70001)])):
        yield {"groups": x, "bits": (1, 2, 8, 5, 6)[i]}


@both
@given(arguments())
def test_entries_are_quantiles(engine, arguments):
    groups, entries = arguments["groups"].astype(np.float64), 2 ** arguments["bits"]
    codebook, index = engine.quantile_codebook(**arguments)
    assert (codebook.dtype, index.dtype) == (np.float32, np.uint8)
    expected = np.quantile(groups, (np.arange(entries) + 0.5) / entries, axis=-1).T
    rounding = np.abs(groups).max(axis=-1, keepdims=True) * 2.0**-23 + 1e-45
    assert (np.abs(codebook - expected) <= rounding).all()
    assert (np.diff(codebook.astype(np.float64)) >= 0).all()


@both
@given(arguments())
def test_the_index_is_that_of_the_nearest_entry(engine, arguments):
    codebook, index = engine.quantile_codebook(**arguments)
    np.testing.assert_array_equal(index, fitted.nearest(arguments["groups"], codebook))


@both
@given(arguments(), st.randoms(use_true_random=False))
def test_the_order_of_the_values_does_not_matter(engine, arguments, random):
    codebook, index = engine.quantile_codebook(**arguments)
    order = list(range(arguments["groups"].shape[-1]))
    random.shuffle(order)
    found = engine.quantile_codebook(np.ascontiguousarray(arguments["groups"][:, order]), arguments["bits"])
    np.testing.assert_equal(found, (codebook, index[:, order]))


@both
def test_entries_are_used_alike(engine):
    groups = np.random.default_rng(0).standard_normal((1, 100_000)).astype(np.float32)
    _, index = engine.quantile_codebook(groups, 3)
    share = np.bincount(index[0]) / groups.size
    assert (np.abs(share[1:-1] - 1 / 8) < 0.01).all()  # those between two entries; tails are cut by other middles


def _wrong(place=None, interpolate=True, real=np.float64, index=None):
    """quantile_codebook with other places, without interpolation, or another index."""

    def quantile_codebook(groups, bits):
        refq.quantile_codebook(groups, bits)
        n, entries = groups.shape[-1], 2**bits
        i = np.arange(entries)
        at = np.clip((place or (lambda i, k, n: (n - 1) * (i + 0.5) / k))(i, entries, n), 0, n - 1)
        at = at if interpolate else np.rint(at)
        v, low = np.sort(groups, axis=-1).astype(real), at.astype(np.int64)
        with np.errstate(all="ignore"):
            step = v[..., np.minimum(low + 1, n - 1)] - v[..., low]
            codebook = np.nan_to_num(v[..., low] + (at - low).astype(real) * step).astype(groups.dtype)
        return codebook, (index or fitted.nearest)(groups, codebook)

    return quantile_codebook


def _last(groups, codebook):
    return (codebook.shape[-1] - 1 - fitted.nearest(groups, codebook[..., ::-1])).astype(np.uint8)


WRONG = {
    "from the smallest to the largest": _wrong(lambda i, k, n: (n - 1) * i / (k - 1)),
    "quarters, not halves between": _wrong(lambda i, k, n: (n - 1) * (i + 1) / (k + 1)),
    "places of n values, not of n - 1 steps": _wrong(lambda i, k, n: n * (i + 0.5) / k - 0.5),
    "no interpolation": _wrong(interpolate=False),
    "interpolation in float32": _wrong(real=np.float32),
    "ties to the higher index": _wrong(index=_last),
    "equal shares for the index": _wrong(
        index=lambda x, c: (np.argsort(np.argsort(x, -1), -1) * c.shape[-1] // x.shape[-1]).astype(np.uint8)
    ),
    "one codebook for all groups": lambda groups, bits: (
        np.broadcast_to(refq.quantile_codebook(groups.reshape(1, -1), bits)[0], (*groups.shape[:-1], 2**bits)).copy(),
        refq.quantile_codebook(groups.reshape(1, -1), bits)[1].reshape(groups.shape),
    ),
}
