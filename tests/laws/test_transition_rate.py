"""Laws of transition_rate."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.support import both, int_arrays, shapes


@st.composite
def arguments(draw):
    shape = draw(shapes())
    return {"q": draw(int_arrays(shape, -2, 1)), "previous": draw(int_arrays(shape, -2, 1))}


@both
@given(arguments())
def test_a_share(engine, arguments):
    rate = engine.transition_rate(**arguments)
    assert type(rate) is float
    assert 0 <= rate <= 1
    assert rate * arguments["q"].size == sum(map(np.not_equal, arguments["q"].flat, arguments["previous"].flat))


@both
@given(arguments())
def test_codes_that_stay(engine, arguments):
    assert engine.transition_rate(arguments["q"], arguments["q"]) == 0
    assert engine.transition_rate(arguments["q"], arguments["q"] + 1) == 1


@both
@given(arguments())
def test_exchanging_them_changes_nothing(engine, arguments):
    assert engine.transition_rate(arguments["previous"], arguments["q"]) == engine.transition_rate(**arguments)


@both
@given(arguments())
def test_how_far_a_code_moved_does_not_matter(engine, arguments):
    far = {name: q * 7 for name, q in arguments.items()}
    assert engine.transition_rate(**far) == engine.transition_rate(**arguments)


def _wrong(share):
    return lambda q, previous: float(share(q, previous)) if q.size else 0.0


WRONG = {
    "how far": _wrong(lambda q, previous: np.abs(np.int64(q) - previous).mean()),
    "the sum of the changes": _wrong(lambda q, previous: abs((np.int64(q) - previous).sum()) / q.size),
    "a count": _wrong(lambda q, previous: (q != previous).sum()),
    "those that stay": _wrong(lambda q, previous: (q == previous).mean()),
    "a share of the rows": _wrong(lambda q, previous: (q != previous).reshape(len(q), -1).any(axis=1).mean()),
    "in float32": _wrong(lambda q, previous: (q != previous).mean(dtype=np.float32)),
}
