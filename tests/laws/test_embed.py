"""Laws of embed."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.laws.operations import assert_float64_is_kept, tenths
from tests.support import both, int_arrays


@st.composite
def arguments(draw):
    V, D = draw(st.integers(1, 6)), draw(st.integers(1, 5))
    shape = draw(st.sampled_from([(), (3,), (2, 2), (0,)]))
    return {"tokens": draw(int_arrays(shape, 0, V - 1)), "weight": draw(tenths((V, D)))}


@both
@given(arguments())
def test_each_vector_is_the_row_of_its_token(engine, arguments):
    x = engine.embed(**arguments)
    assert x.shape == (*arguments["tokens"].shape, arguments["weight"].shape[1])
    for index in np.ndindex(arguments["tokens"].shape):
        np.testing.assert_array_equal(x[index], arguments["weight"][arguments["tokens"][index]])


@both
@given(arguments())
def test_every_token_gives_the_table(engine, arguments):
    weight = arguments["weight"]
    np.testing.assert_array_equal(engine.embed(np.arange(len(weight)), weight), weight)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.embed, arguments)


@both
def test_the_result_is_a_copy(engine):
    weight = np.ones((2, 2), np.float32)
    engine.embed(np.array([0]), weight)[:] = 7
    assert (weight == 1).all()


WRONG = {
    "tokens from 1": lambda tokens, weight: weight[tokens - 1],
    "negative tokens count from the end": lambda tokens, weight: weight[tokens],
    "the last token is forbidden": lambda tokens, weight: weight[np.minimum(tokens, len(weight) - 2)],
    "columns": lambda tokens, weight: weight.T[tokens],
    "tokens sorted": lambda tokens, weight: weight[np.sort(tokens, axis=None).reshape(tokens.shape)],
}
