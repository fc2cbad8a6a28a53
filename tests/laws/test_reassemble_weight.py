"""Laws of reassemble_weight."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import channels
from tests.laws.operations import assert_float64_is_kept, assert_linear_in, tenths
from tests.laws.test_reassemble_input import summed
from tests.support import both


@st.composite
def arguments(draw):
    old, form = draw(channels.forms())
    return {"w": draw(tenths((draw(st.integers(1, 4)), old))), "reassembly": form}


@both
@given(arguments())
def test_it_is_a_matrix(engine, arguments):
    w, form = arguments.values()
    matrix = channels.weighted(w.shape[-1], form) * form[2][:, None]
    found = engine.reassemble_weight(**arguments)
    assert found.dtype == w.dtype
    bound = channels.BOUND * (np.abs(w) @ matrix.T) + 1e-30
    assert (np.abs(found - w.astype(np.float64) @ matrix.T) <= bound).all()


@both
@given(arguments())
def test_linear(engine, arguments):
    assert_linear_in(engine.reassemble_weight, arguments, "w")


@both
@given(arguments())
def test_parts_of_a_channel_have_its_column(engine, arguments):
    w, (members, sizes, _) = arguments.values()
    found = engine.reassemble_weight(**arguments)
    single = np.flatnonzero(np.repeat(sizes, sizes) == 1)
    np.testing.assert_array_equal(found[:, sizes == 1], w[:, members[single]])


@both
@given(arguments())
def test_a_low_rank_product_is_reassembled_by_its_input_side(engine, arguments):
    form, old = arguments["reassembly"], arguments["w"].shape[-1]
    random = np.random.default_rng(old)
    a, b = random.standard_normal((2, old)), random.standard_normal((5, 2))
    np.testing.assert_allclose(b @ engine.reassemble_weight(a, form), engine.reassemble_weight(b @ a, form), atol=1e-13)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.reassemble_weight, arguments)


def _wrong(divide=lambda v, sizes, divisors: v, **changes):
    def reassemble_weight(w, reassembly):
        refq.reassemble_weight(w, reassembly)
        return summed(w, reassembly, divide=divide, **changes)

    return reassemble_weight


WRONG = {
    "divided as the input is": _wrong(lambda v, sizes, divisors: v / divisors),
    "parts divided": _wrong(lambda v, sizes, divisors: v * sizes / divisors),
    "the mean": _wrong(lambda v, sizes, divisors: v / sizes),
    "from the last member to the first": _wrong(order=-1),
    "in float64": _wrong(real=np.float64),
    "the first member alone": lambda w, reassembly: w[..., reassembly[0][np.cumsum(reassembly[1]) - reassembly[1]]],
}
