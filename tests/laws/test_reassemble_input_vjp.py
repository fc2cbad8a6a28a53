"""Laws of reassemble_input_vjp."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import channels, test_reassemble_input
from tests.laws.operations import assert_float64_is_kept, assert_linear_in, tenths
from tests.support import both


@st.composite
def arguments(draw):
    plain = draw(test_reassemble_input.arguments())
    return {"g": draw(tenths(refq.reassemble_input(**plain).shape))} | plain


@both
@given(arguments())
def test_it_is_the_transposed_matrix(engine, arguments):
    g, x, form = arguments.values()
    matrix, found = channels.weighted(x.shape[-1], form), engine.reassemble_input_vjp(**arguments)
    assert (found.dtype, found.shape) == (x.dtype, x.shape)
    assert (np.abs(found - g.astype(np.float64) @ matrix) <= channels.BOUND * (np.abs(g) @ matrix) + 1e-30).all()


@both
@given(arguments())
def test_linear(engine, arguments):
    assert_linear_in(engine.reassemble_input_vjp, arguments)


@both
@given(arguments())
def test_x_gives_its_shape_alone(engine, arguments):
    other = arguments | {"x": arguments["x"] + np.float32(1)}
    np.testing.assert_array_equal(engine.reassemble_input_vjp(**other), engine.reassemble_input_vjp(**arguments))


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.reassemble_input_vjp, arguments)


def spread(g, x, reassembly, divide=lambda v, sizes, divisors: v / divisors, order=1, real=np.float32, once=False):
    """The transposed sums with another division, in another order, in another precision, or of one part alone."""
    members, sizes, divisors = reassembly
    t = divide(g.astype(real), sizes.astype(real), divisors.astype(real))
    y, new = np.zeros(x.shape, real), np.repeat(np.arange(len(sizes)), sizes)
    for i, c in list(zip(members, new, strict=True))[::order]:
        y[..., i] = t[..., c] + (0 if once else y[..., i])
    return y.astype(x.dtype)


def _wrong(**changes):
    def reassemble_input_vjp(g, x, reassembly):
        refq.reassemble_input_vjp(g, x, reassembly)
        return spread(g, x, reassembly, **changes)

    return reassemble_input_vjp


WRONG = {
    "not divided": _wrong(divide=lambda v, sizes, divisors: v),
    "divided by the size alone": _wrong(divide=lambda v, sizes, divisors: v / sizes),
    "times the reciprocal": _wrong(divide=lambda v, sizes, divisors: v * (1 / divisors)),
    "the last part alone": _wrong(once=True),
    "from the last new channel to the first": _wrong(order=-1),
    "in float64": _wrong(real=np.float64),
}
