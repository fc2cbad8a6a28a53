"""Laws of low_rank_init."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws.operations import normal
from tests.support import both


@st.composite
def arguments(draw):
    shape, rank = [draw(st.integers(1, 6)), draw(st.integers(1, 9))], draw(st.integers(1, 4))
    draws = draw(st.lists(st.floats(0, 1, exclude_max=True), min_size=rank * shape[1], max_size=rank * shape[1]))
    return {"shape": shape, "rank": rank, "draws": np.array(draws).reshape(rank, shape[1])}


@both
@given(arguments())
def test_it_corrects_nothing(engine, arguments):
    w = normal(1, *arguments["shape"])
    low, high = engine.low_rank_init(**arguments)
    np.testing.assert_array_equal(engine.low_rank_merge(w, low, high, 0.25), w)


@both
@given(arguments())
def test_the_bound(engine, arguments):
    low, _ = engine.low_rank_init(**arguments)
    assert low.dtype == np.float32
    assert (np.abs(low) <= np.float32(1 / np.sqrt(arguments["shape"][1]))).all()
    assert ((low > 0) <= (arguments["draws"] > 0.5)).all()


@both
@given(arguments())
def test_shapes(engine, arguments):
    low, high = engine.low_rank_init(**arguments)
    assert (high @ low).shape == tuple(arguments["shape"])
    assert len(low) == arguments["rank"]


def test_its_deviation_is_that_of_the_distribution():
    """1 / sqrt(3 in)."""
    low, _ = refq.low_rank_init((1, 50), 400, np.random.default_rng(3).random((400, 50)))
    assert abs(low.std() * np.sqrt(150) - 1) < 0.01


def _wrong(bound=lambda out, inputs: inputs**-0.5, first=lambda d: 2 * d - 1, high=0.0):
    def low_rank_init(shape, rank, draws):
        refq.low_rank_init(shape, rank, draws)  # what it refuses
        low = first(draws) * bound(*shape)
        return low.astype(np.float32), np.full((shape[0], rank), high, np.float32)

    return low_rank_init


WRONG = {
    "the width of the output": _wrong(lambda out, inputs: out**-0.5),
    "a = 0": _wrong(lambda out, inputs: (6 / inputs) ** 0.5),
    "the variance": _wrong(lambda out, inputs: 1 / inputs),
    "draws from 0": _wrong(first=lambda d: d),
    "the other sign": _wrong(first=lambda d: 1 - 2 * d),
    "high as ones": _wrong(high=1.0),
}
