"""Laws of kmeans_optimal."""

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import fitted
from tests.support import both


@st.composite
def arguments(draw):
    return {
        "groups": draw(fitted.groups()),
        "k": draw(st.sampled_from([1, 2, 3, 4, 7, 16])),
        "bins": draw(st.sampled_from([1, 2, 3, 5, 8, 65536, 65536])),
    }


def edges():
    shapes = [(1, 1), (3, 31), (2, 3, 513), (65, 33), (1, 9001), (1, 9000), (1, 9002)]
    for i, x in enumerate(fitted.large_groups(shapes)):
        yield {"groups": x, "k": (1, 2, 16, 8, 5, 256, 3)[i], "bins": (1, 65536, 65536, 9, 65536, 700, 100)[i]}
    yield {"groups": _many(1 << 20, np.float32), "k": 16, "bins": 2000}  # counted, not sorted
    yield {"groups": _many(1 << 20, np.float32) * np.float32(1e-41), "k": 4, "bins": 512}  # subnormal
    yield {"groups": np.round(_many(1 << 20, np.float32), 1), "k": 8, "bins": 65536}  # few values, all their bits
    yield {"groups": np.round(_many(1 << 20, np.float32) * 8), "k": 8, "bins": 65536}  # few values, few bits


def _many(size, dtype):
    x = np.random.default_rng(3).standard_t(3, (1, size)).astype(dtype)
    x[:, ::9] = -0.0
    return x


@both
@given(arguments())
def test_a_codebook_that_ascends_and_the_nearest_entries(engine, arguments):
    codebook, index = engine.kmeans_optimal(**arguments)
    assert (codebook.dtype, index.dtype) == (np.float32, np.uint8)
    assert codebook.shape == (len(arguments["groups"]), arguments["k"])
    wide = codebook.astype(np.float64)
    assert (np.diff(wide) >= 0).all()
    for group, entries, found in zip(arguments["groups"], wide, index, strict=True):
        distance = np.abs(group.astype(np.float64)[:, None] - entries)
        chosen = np.take_along_axis(distance, found.astype(int)[:, None], 1)[:, 0]
        assert (chosen <= distance.min(axis=1) * (1 + 1e-12)).all()


@both
@given(arguments())
def test_no_codebook_is_better(engine, arguments):
    groups = arguments["groups"]
    codebook, _ = engine.kmeans_optimal(groups, arguments["k"])
    for group, entries in zip(groups, codebook, strict=True):
        rounding = len(group) * Fraction(float(np.abs(group.astype(np.float64)).max() * 2.0**-23 + 1e-45)) ** 2
        least = fitted.least_error(group, arguments["k"])
        assert fitted.exact_error(group, entries) <= least * (1 + Fraction(1, 10**9)) + rounding


@both
@given(arguments())
def test_the_bound_of_few_bins(engine, arguments):
    for group in arguments["groups"]:
        codebook, _ = engine.kmeans_optimal(group[None], arguments["k"], arguments["bins"])
        least = float(fitted.least_error(group, arguments["k"]))
        inside = sorted(_inside(group, arguments["bins"]), reverse=True)
        bound = np.sqrt(least) + 2 * np.sqrt(sum(inside[: arguments["k"] - 1]))
        if len(inside) == 1:  # one bin: no boundary, one entry
            bound = np.sqrt(inside[0])
        rounding = np.sqrt(len(group)) * (np.abs(group.astype(np.float64)).max() * 2.0**-23 + 1e-45)
        assert float(fitted.exact_error(group, codebook[0])) <= (bound * (1 + 1e-9) + rounding) ** 2


@both
@given(arguments(), st.randoms(use_true_random=False))
def test_the_order_of_the_values_does_not_matter(engine, arguments, random):
    codebook, index = engine.kmeans_optimal(**arguments)
    order = list(range(arguments["groups"].shape[-1]))
    random.shuffle(order)
    arguments["groups"] = np.ascontiguousarray(arguments["groups"][:, order])
    np.testing.assert_equal(engine.kmeans_optimal(**arguments), (codebook, index[:, order]))


@both
@given(fitted.groups())
def test_as_many_entries_as_values_have_no_error(engine, groups):
    k = groups.shape[1]
    codebook, index = engine.kmeans_optimal(groups, k)
    np.testing.assert_array_equal(np.take_along_axis(codebook, index.astype(int), -1), groups)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    arguments["groups"] = arguments["groups"].astype(np.float64) * (1 + 2.0**-40)
    found = engine.kmeans_optimal(**arguments)
    assert found[0].dtype == np.float64
    np.testing.assert_equal(found, refq.kmeans_optimal(**arguments))


def _bins_of(group, bins):
    """The values of each bin, ascending: keys as Python integers."""
    v = np.sort(group + np.float32(0))
    key = [int(u) ^ (0xFFFFFFFF if u >> 31 else 0x80000000) for u in v.view(np.uint32)]
    shift = 0
    while len({x >> shift for x in key}) > bins:
        shift += 1
    leading = [x >> shift for x in key]
    return [v[[x == bin for x in leading]].astype(np.float64) for bin in sorted(set(leading))]


def _inside(group, bins):
    return [((cell - cell.mean()) ** 2).sum() for cell in _bins_of(group, bins)]


def _wrong(fit, index=fitted.nearest):
    """kmeans_optimal with other entries: fit(group, k, bins); fewer than k are repeated at the end."""

    def kmeans_optimal(groups, k, bins):
        codebook, _ = refq.kmeans_optimal(groups, k, bins)
        for place in np.ndindex(*groups.shape[:-1]):
            with np.errstate(all="ignore"):
                found = np.asarray(fit(groups[place], k, bins), np.float64)
            codebook[place] = np.pad(found, (0, k - found.size), mode="edge")
        return codebook, index(groups, codebook)

    return kmeans_optimal


def _of_points(weight, mean):
    """The optimum over points (weight, mean), entries as means of the points with these weights; found over all."""

    def fit(group, k, bins):
        cells = _bins_of(group.astype(np.float32), bins)
        w, m = np.array([weight(c) for c in cells], float), np.array([mean(c) for c in cells], float)
        best = {(0, 0): (0.0, ())}
        for c in range(1, min(k, len(cells)) + 1):
            for j in range(c, len(cells) + 1):
                choices = []
                for i in range(c - 1, j):
                    if (c - 1, i) in best:
                        centre = (w[i:j] * m[i:j]).sum() / w[i:j].sum()
                        cost = (w[i:j] * (m[i:j] - centre) ** 2).sum()
                        choices.append((best[c - 1, i][0] + cost, (*best[c - 1, i][1], centre)))
                best[c, j] = min(choices, key=lambda choice: choice[0])
        return best[min(k, len(cells)), len(cells)][1]

    return fit


def _lloyd(start):
    def fit(group, k, bins):
        k = min(k, np.unique(group).size)
        wide = group.astype(np.float64)[None]
        return np.sort(refq.lloyd(wide, start(wide, k).reshape(1, k), 1000)[0][0])

    return fit


def _single(group, k, bins):
    """Differences of running float64 sums."""
    v, n = np.unique(group, return_counts=True)
    v = v.astype(np.float64)
    w, s, q = (np.concatenate([[0], np.cumsum(n * v**p)]) for p in range(3))
    best = {(0, 0): (0.0, ())}
    for c in range(1, min(k, v.size) + 1):
        for j in range(c, v.size + 1):
            choices = []
            for i in range(c - 1, j):
                if (c - 1, i) in best:
                    mean = (s[j] - s[i]) / (w[j] - w[i])
                    cost = q[j] - q[i] - (s[j] - s[i]) * mean
                    choices.append((best[c - 1, i][0] + cost, (*best[c - 1, i][1], mean)))
            best[c, j] = min(choices, key=lambda choice: choice[0])
    return best[min(k, v.size), v.size][1]


def _turned(group, k, bins):
    """The mirrored problem: of equal partitions it takes the last."""
    return np.sort(-refq.kmeans_optimal(-group[None], min(k, np.unique(group).size), bins)[0][0].astype(np.float64))


def _last(groups, codebook):
    k = codebook.shape[-1]
    return (k - 1 - fitted.nearest(groups, codebook[..., ::-1])).astype(np.uint8)


WRONG = {
    "Lloyd's algorithm from quantiles": _wrong(_lloyd(lambda x, k: np.quantile(x[0], (np.arange(k) + 0.5) / k))),
    "Lloyd's algorithm from even bins": _wrong(_lloyd(lambda x, k: x.min() + np.ptp(x) * (np.arange(k) + 0.5) / k)),
    "running sums": _wrong(_single),
    "bins without weights": _wrong(_of_points(lambda c: 1, np.mean)),
    "middles of bins": _wrong(_of_points(len, lambda c: (c.min() + c.max()) / 2)),
    "the last of equal partitions": _wrong(_turned),
    "keys of negative values not turned": _wrong(lambda group, k, bins: np.sort(_unturned(group, k, bins))),
    "always exact": lambda groups, k, bins: refq.kmeans_optimal(groups, k, 65536),
    "one bin less": lambda groups, k, bins: refq.kmeans_optimal(groups, k, max(bins - 1, 1)),
    "ties to the higher index": lambda groups, k, bins: (
        refq.kmeans_optimal(groups, k, bins)[0],
        _last(groups, refq.kmeans_optimal(groups, k, bins)[0]),
    ),
    "repeated entries are 0": lambda groups, k, bins: _zeroed(*refq.kmeans_optimal(groups, k, bins)),
    "one codebook for all groups": lambda groups, k, bins: (
        np.broadcast_to(refq.kmeans_optimal(groups.reshape(1, -1), k, bins)[0], (*groups.shape[:-1], k)).copy(),
        refq.kmeans_optimal(groups.reshape(1, -1), k, bins)[1].reshape(groups.shape),
    ),
}


def _unturned(group, k, bins):
    """Bins of the magnitude's bits, below 0 and above."""
    if bins == 65536 or (group >= 0).all() or group.dtype != np.float32:
        return refq.kmeans_optimal(group[None], min(k, np.unique(group).size), bins)[0][0]
    u, shift = np.sort(group).view(np.uint32).astype(np.int64), 0
    while len(set((u >> shift).tolist())) > bins:
        shift += 1
    cells = [np.sort(group)[u >> shift == bin].astype(np.float64) for bin in set((u >> shift).tolist())]
    values = np.concatenate([np.full(c.size, c.mean()) for c in cells])[None]
    return refq.kmeans_optimal(values, min(k, len(cells)))[0][0]


def _zeroed(codebook, index):
    repeated = np.concatenate([np.zeros((*codebook.shape[:-1], 1), bool), np.diff(codebook) == 0], axis=-1)
    return np.where(repeated, 0, codebook).astype(codebook.dtype), index
