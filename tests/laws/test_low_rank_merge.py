"""Laws of low_rank_merge."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws.operations import UNIT, assert_float64_is_kept, normal, tenths
from tests.support import both


@st.composite
def arguments(draw):
    out, inputs, rank = draw(st.integers(1, 5)), draw(st.integers(1, 6)), draw(st.integers(1, 4))
    return {
        "w": draw(tenths((out, inputs))),
        "low": draw(tenths((rank, inputs))),
        "high": draw(tenths((out, rank))),
        "scaling": draw(st.sampled_from([0.25, 1.0, -0.3, 0, 1 / 3])),
    }


def edges():
    """Large arguments, of sizes around the tiles of the kernels."""
    for seed, (out, inputs, rank) in enumerate([(1, 1, 1), (3, 31, 4), (64, 257, 5), (1023, 65, 2), (2, 5000, 4)]):
        parts = normal(seed, out, inputs), normal(seed + 9, rank, inputs), normal(seed + 19, out, rank)
        yield dict(zip(("w", "low", "high"), parts, strict=True)) | {"scaling": 0.3}


@both
@given(arguments())
def test_it_is_the_nearest_float(engine, arguments):
    w, low, high, scaling = (np.asarray(a, np.longdouble) for a in arguments.values())
    found, exact = engine.low_rank_merge(**arguments), w + scaling * (high @ low)
    assert (np.abs(found - exact) <= UNIT * np.abs(exact) + 1e-13).all()


@both
@given(arguments())
def test_linear_takes_it_for_both(engine, arguments):
    w, low, high, scaling = arguments.values()
    x = normal(2, 3, w.shape[1])
    apart = engine.linear(x, w) + np.float32(scaling) * engine.linear(engine.linear(x, low), high)
    np.testing.assert_allclose(engine.linear(x, engine.low_rank_merge(**arguments)), apart, atol=1e-4)


@both
@given(arguments())
def test_without_scaling_or_factor_nothing_changes(engine, arguments):
    for change in ({"scaling": 0}, {"low": arguments["low"] * 0}, {"high": arguments["high"] * 0}):
        np.testing.assert_array_equal(engine.low_rank_merge(**(arguments | change)), arguments["w"])


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.low_rank_merge, arguments)


def _wrong(change=lambda w, low, high, scaling: (w, low, high, scaling), kind=np.float64, last=lambda t: t):
    def low_rank_merge(w, low, high, scaling):
        refq.low_rank_merge(w, low, high, scaling)  # what it refuses
        w, low, high, scaling = change(w, low, high, scaling)
        total = np.zeros(w.shape, kind)
        for row, column in zip(low.astype(kind), high.T.astype(kind), strict=True):
            total += np.multiply.outer(column, row)
        return (w + last(scaling * total)).astype(w.dtype)

    return low_rank_merge


WRONG = {
    "scaling forgotten": _wrong(lambda w, low, high, scaling: (w, low, high, 1.0)),
    "scaling over the rank": _wrong(lambda w, low, high, scaling: (w, low, high, scaling / len(low))),
    "subtracted": _wrong(lambda w, low, high, scaling: (w, low, high, -scaling)),
    "ranks the wrong way round": _wrong(lambda w, low, high, scaling: (w, low[::-1], high, scaling)),
    "sums in float32": _wrong(kind=np.float32),
    "the correction rounded before it is added": _wrong(last=np.float32),
    "without the weight": _wrong(lambda w, low, high, scaling: (w * 0, low, high, scaling)),
}
