"""Laws of reassemble_weight_vjp."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import channels, test_reassemble_weight
from tests.laws.operations import assert_float64_is_kept, assert_linear_in, tenths
from tests.laws.test_reassemble_input_vjp import spread
from tests.support import both


@st.composite
def arguments(draw):
    plain = draw(test_reassemble_weight.arguments())
    return {"g": draw(tenths(refq.reassemble_weight(**plain).shape))} | plain


@both
@given(arguments())
def test_it_is_the_transposed_matrix(engine, arguments):
    g, w, form = arguments.values()
    matrix = channels.weighted(w.shape[-1], form) * form[2][:, None]
    found = engine.reassemble_weight_vjp(**arguments)
    assert (found.dtype, found.shape) == (w.dtype, w.shape)
    assert (np.abs(found - g.astype(np.float64) @ matrix) <= channels.BOUND * (np.abs(g) @ matrix) + 1e-30).all()


@both
@given(arguments())
def test_linear(engine, arguments):
    assert_linear_in(engine.reassemble_weight_vjp, arguments)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.reassemble_weight_vjp, arguments)


@both
@given(st.integers(1, 4))
def test_the_parts_of_a_channel_add_up(engine, parts):
    form = engine.assemble(np.array([parts]), np.arange(parts))
    g = np.ones((2, parts), np.float32)
    np.testing.assert_array_equal(engine.reassemble_weight_vjp(g, np.float32([[3], [4]]), form), [[parts], [parts]])


def _wrong(divide=lambda v, sizes, divisors: v, **changes):
    def reassemble_weight_vjp(g, w, reassembly):
        refq.reassemble_weight_vjp(g, w, reassembly)
        return spread(g, w, reassembly, divide=divide, **changes)

    return reassemble_weight_vjp


WRONG = {
    "divided as the input is": _wrong(lambda v, sizes, divisors: v / divisors),
    "the mean of the parts": _wrong(lambda v, sizes, divisors: v * sizes / divisors),
    "divided by the size": _wrong(lambda v, sizes, divisors: v / sizes),
    "the last part alone": _wrong(once=True),
    "from the last new channel to the first": _wrong(order=-1),
    "in float64": _wrong(real=np.float64),
}
