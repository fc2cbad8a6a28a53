"""Laws of kmeans_plus_plus_init."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import fitted
from tests.support import both


@st.composite
def arguments(draw):
    groups, k = draw(fitted.groups()), draw(st.integers(1, 9))
    one = st.sampled_from([0.0, 0.25, 0.5, 1 - 2.0**-53]) | st.floats(0, 1, exclude_max=True)
    draws = draw(st.lists(one, min_size=k * len(groups), max_size=k * len(groups)))
    return {"groups": groups, "k": k, "draws": np.array(draws).reshape(len(groups), k)}


def edges():
    random = np.random.default_rng(1)
    for i, x in enumerate(fitted.large_groups([(1, 1), (3, 31), (2, 3, 8193), (65, 33), (1, 70001)])):
        k = (1, 2, 16, 40, 5)[i]
        yield {"groups": x, "k": k, "draws": random.random((*x.shape[:-1], k))}


@both
@given(arguments())
def test_entries_are_values_and_different_as_long_as_there_are_any(engine, arguments):
    codebook = engine.kmeans_plus_plus_init(**arguments)
    assert codebook.dtype == np.float32
    assert codebook.shape == arguments["draws"].shape
    for group, entries in zip(arguments["groups"], codebook, strict=True):
        assert set(entries) <= set(group)
        different = min(len(set(group)), arguments["k"])
        assert len(set(entries[:different])) == different
        assert len(set(entries[different - 1 :])) == 1


@both
@given(arguments())
def test_more_draws_only_add_entries(engine, arguments):
    whole = engine.kmeans_plus_plus_init(**arguments)
    for k in range(1, arguments["k"]):
        fewer = engine.kmeans_plus_plus_init(arguments["groups"], k, arguments["draws"][:, :k])
        np.testing.assert_array_equal(fewer, whole[:, :k])


@both
@given(arguments())
def test_a_power_of_two_scales_the_codebook(engine, arguments):
    arguments["groups"] = np.clip(np.where(np.abs(arguments["groups"]) < 1e-30, 0, arguments["groups"]), -1e37, 1e37)
    codebook = engine.kmeans_plus_plus_init(**arguments)
    arguments["groups"] = arguments["groups"] * np.float32(8)
    np.testing.assert_array_equal(engine.kmeans_plus_plus_init(**arguments), codebook * np.float32(8))


@both
def test_probabilities(engine):
    draws = np.random.default_rng(0).random((2000, 2))
    draws[:, 0] = 0
    groups = np.broadcast_to(np.float32([0, 1, 3]), (2000, 3))
    second = engine.kmeans_plus_plus_init(groups, 2, draws)[:, 1]
    assert abs((second == 1).mean() - 0.1) < 0.02
    assert (second != 0).all()


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    arguments["groups"] = arguments["groups"].astype(np.float64) * (1 + 2.0**-40)
    found = engine.kmeans_plus_plus_init(**arguments)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, refq.kmeans_plus_plus_init(**arguments))


def _wrong(weight=np.square, side="right", real=np.float64, near=np.minimum, first=np.floor, order=None, left=-1):
    """kmeans_plus_plus_init with one thing changed."""

    def entries(x, draws):
        x = x[order] if order else x
        found = [x[min(int(first(draws[0] * x.size)), x.size - 1)]]
        distance = None
        for draw in draws[1:]:
            d = weight(x.astype(real) - real(found[-1]))
            distance = d if distance is None else near(distance, d)
            reached = np.cumsum(distance, dtype=real)
            drawn = min(np.searchsorted(reached, real(draw) * reached[-1], side=side), x.size - 1)
            found.append(x[drawn] if reached[-1] else x[left] if left is None or left >= 0 else found[-1])
        return found

    def kmeans_plus_plus_init(groups, k, draws):
        codebook = refq.kmeans_plus_plus_init(groups, k, draws)
        with np.errstate(all="ignore"):
            for place in np.ndindex(*groups.shape[:-1]):
                codebook[place] = entries(groups[place], draws[place])
        return codebook

    return kmeans_plus_plus_init


WRONG = {
    "distances not squared": _wrong(weight=np.abs),
    "uniform draws": _wrong(weight=lambda d: (d != 0).astype(np.float64)),
    "S >= draw * S": _wrong(side="left"),
    "sums in float32": _wrong(real=np.float32),
    "distance to the last entry": _wrong(near=lambda before, now: now),
    "distance to the first entry": _wrong(near=lambda before, now: before),
    "distances added": _wrong(near=np.add),
    "first draw rounded": _wrong(first=np.rint),
    "values from the last to the first": _wrong(order=slice(None, None, -1)),
    "the first value where nothing is left": _wrong(left=0),
    "one draw for all groups": lambda groups, k, draws: refq.kmeans_plus_plus_init(
        groups, k, np.broadcast_to(draws.reshape(-1, draws.shape[-1])[0], draws.shape).copy()
    ),
}
