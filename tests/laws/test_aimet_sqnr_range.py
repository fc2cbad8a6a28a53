"""Laws of aimet_sqnr_range."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws.presets import check_form, check_powers_of_two, preset_arguments
from tests.support import both, half_grid, shapes


def arguments():
    gamma = st.sampled_from([0.5, 1.0, 3.0])
    return st.tuples(preset_arguments(), gamma).map(lambda both: both[0] | {"gamma": both[1]})


@both
@given(arguments())
def test_form(engine, arguments):
    check_form(engine.aimet_sqnr_range, arguments, refq.integer_range(arguments["bits"], arguments["symmetric"]))


@both
@given(arguments())
def test_the_step_has_a_floor_and_zero_a_code(engine, arguments):
    scale, zero_point, qmin, qmax = engine.aimet_sqnr_range(**arguments)
    assert (scale >= np.float32(2.0**-23)).all()
    assert ((qmin <= zero_point) & (zero_point <= qmax)).all()


@both
@given(arguments(), shapes().flatmap(half_grid))
def test_powers_of_two(engine, arguments, groups):
    some = groups.min(axis=-1) < groups.max(axis=-1)
    check_powers_of_two(engine.aimet_sqnr_range, arguments | {"groups": groups[some]})


@both
@given(arguments())
def test_min_max_can_only_help(engine, arguments):
    x, bits, symmetric, gamma = arguments.values()
    limits = refq.integer_range(bits, signed=True)
    x = x[x.min(axis=-1) < x.max(axis=-1)]
    x = x[np.abs(x).max(axis=-1) > 2.0**-10]  # above, the floor of the step plays no part
    c = _centres(x).astype(np.float64)
    scale, zero_point, qmin, _ = engine.aimet_sqnr_range(x, bits, symmetric, gamma)
    theirs = _noise(c, scale, zero_point + (limits[0] - qmin), limits, gamma)
    ours = _noise(c, *engine.sqnr(x, *limits, symmetric, gamma=gamma), limits, gamma)
    assert (ours <= theirs * (1 + 1e-5) + 1e-5 * scale[:, 0].astype(np.float64) ** 2).all()


@both
def test_the_gaussian_optimum(engine):
    x = np.random.default_rng(0).standard_normal((1, 20_000)).astype(np.float32)
    (widest, *_), (three, *_) = engine.aimet_range(x), engine.aimet_sqnr_range(x)
    one = engine.aimet_sqnr_range(x, gamma=1.0)[0]
    assert abs(one.item() - 0.335) < 0.015  # Max 1960: 0.335 for 16 levels, placed in the middle
    assert one < three < widest


def _noise(c, scale, zero_point, limits, gamma):
    u = np.rint(c / scale) + zero_point
    q = np.clip(u, *limits)
    return ((((q - zero_point) * scale - c) ** 2) * np.where(q == u, 1.0, gamma)).sum(axis=-1)


def _centres(x, names=()):
    x = np.sort(x, axis=-1)
    lo, hi = x[..., :1], x[..., -1:]
    if "equal" not in names:
        half = np.where(lo == hi, np.float32(0.5), np.float32(0))
        lo, hi = lo - half, hi + half
    step = (hi - lo) / np.float32(2048)
    end, width = (step * np.float32(2048) + lo) - lo, (step + lo) - lo
    if "even bins" in names:
        end, width = hi - lo, step
    with np.errstate(invalid="ignore"):
        bins = np.where(end == 0, np.float32(0), np.floor((x - lo) * np.float32(2048) / end))
    return (lo + width / 2) + width * np.minimum(bins, np.float32(2047))


def _wrong(*names):
    """A search that goes wrong in the named places."""

    def aimet_sqnr_range(groups, bits=4, symmetric=True, gamma=3.0):
        qmin, qmax = refq.aimet_sqnr_range(groups, bits, symmetric, gamma)[2:]  # for the errors too
        c = np.sort(groups, axis=-1) if "values" in names else _centres(groups, names)
        n, tiny = np.float32(2**bits - 1), np.float32(0 if "no floor" in names else 2.0**-23)
        lo, hi = np.minimum(groups.min(-1, keepdims=True), 0), np.maximum(groups.max(-1, keepdims=True), 0)
        hi = np.maximum(hi, lo + n * np.float32(2.0**-23))
        grids = list(_grids(groups, lo, hi, n, tiny, symmetric, names))
        costs = [_cost(c, *grid, n, np.float32(gamma), names) for grid in grids]
        at = np.argmin(np.stack(costs), axis=0)[None]
        scale, offset = (np.take_along_axis(np.stack(v), at, axis=0)[0] for v in zip(*grids, strict=True))
        if "as found" not in names:
            lo = offset * scale
            scale = np.maximum((lo + n * scale - lo) / n, np.float32(2.0**-23))
        zero_point = np.zeros_like(scale) if symmetric else np.clip(-offset, 0, n)
        return scale, (-zero_point if "offset" in names else zero_point).astype(np.int32), qmin, qmax

    return aimet_sqnr_range


def _grids(groups, lo, hi, n, tiny, symmetric, names):
    if "min-max" in names:
        scale, zero_point, *_ = refq.aimet_range(groups, int(n + 1).bit_length() - 1, symmetric)
        yield scale, np.float32(-(n + 1) / 2 if symmetric else 0) - zero_point.astype(np.float32)
    if symmetric:
        widest = 2 * np.maximum(-lo, hi) / n
        for i in range(1, 92 if "fewer" in names else 102):
            yield np.maximum(widest * np.float32(i) / np.float32(100), tiny), np.full_like(lo, -(n + 1) / 2)
        return
    w = (hi - lo) / n
    seen = np.rint(lo / w)
    low, high, m = w * seen, w * seen + w * n, min(int(n), 19)
    places = (
        [] if "one place" in names else [np.full_like(seen, np.rint(k * int(n) / m) - int(n)) for k in range(m + 1)]
    )
    for j in range(1, 18):
        for k in [*places, seen]:
            d = w * np.float32(j / 16)
            first, last = d * k, d * k + d * n
            if "uncut" not in names:
                first, last = np.maximum(first, low), np.minimum(last, high)
            scale = np.maximum((last - first) / n, tiny)
            with np.errstate(invalid="ignore", divide="ignore"):
                yield scale, np.nan_to_num(np.rint(first / scale), posinf=0, neginf=0)


def _cost(c, scale, offset, n, gamma, names):
    with np.errstate(all="ignore"):
        u = np.rint(c / scale - offset)
        q = np.clip(u, 0, n)
        error = (q + offset) * scale - c
        weight = 1 if "unweighted" in names else gamma * gamma if "squared" in names else gamma
        return (error * error * np.where(q == u, np.float32(1), weight)).astype(np.float64).cumsum(axis=-1)[..., -1:]


def _ours(groups, bits=4, symmetric=True, gamma=3.0):
    _, _, qmin, qmax = refq.aimet_sqnr_range(groups, bits, symmetric, gamma)
    limits = refq.integer_range(bits, signed=True)
    scale, zero_point = refq.sqnr(groups, *limits, symmetric, gamma=gamma)
    return scale, zero_point + np.int32(qmin - limits[0]), qmin, qmax


def _min_max(gamma=3.0, **rest):
    refq.aimet_sqnr_range(gamma=gamma, **rest)  # for the errors
    return refq.aimet_range(**rest)


WRONG = {
    "sqnr": _ours,
    "min-max": _min_max,
    "min-max is a candidate": _wrong("min-max"),
    "values in place of bin centres": _wrong("values"),
    "bins of even width": _wrong("even bins"),
    "a constant group is its own centre": _wrong("equal"),
    "clipping not weighted": _wrong("unweighted"),
    "weight squared": _wrong("squared"),
    "ninety candidates": _wrong("fewer"),
    "only the observed place": _wrong("one place"),
    "ranges not cut": _wrong("uncut"),
    "no floor": _wrong("no floor"),
    "the scale as found": _wrong("as found"),
    "the offset as zero point": _wrong("offset"),
}
