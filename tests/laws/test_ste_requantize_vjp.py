"""Laws of ste_requantize_vjp."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import test_ste_requantize
from tests.laws.operations import assert_linear_in, tenths
from tests.support import both


@st.composite
def arguments(draw):
    forward = draw(test_ste_requantize.arguments())
    return {"g": draw(tenths(forward["groups"].shape))} | forward


@both
@given(arguments())
def test_straight_through(engine, arguments):
    found = engine.ste_requantize_vjp(**arguments)
    np.testing.assert_array_equal(found, arguments["g"])
    assert not np.shares_memory(found, arguments["g"])


@both
@given(arguments())
def test_linear_in_g(engine, arguments):
    assert_linear_in(engine.ste_requantize_vjp, arguments)


@both
@given(arguments())
def test_weights_and_codebook_do_not_enter(engine, arguments):
    moved = arguments | {"codebook": arguments["codebook"] * 0, "groups": arguments["groups"] * 0}
    np.testing.assert_array_equal(engine.ste_requantize_vjp(**moved), engine.ste_requantize_vjp(**arguments))


def _wrong(function):
    def ste_requantize_vjp(g, groups, codebook):
        refq.ste_requantize_vjp(g, groups, codebook)  # for the errors
        return function(g, groups, codebook).astype(g.dtype)

    return ste_requantize_vjp


def _clipped(g, groups, codebook):
    low, high = (end(axis=-1, keepdims=True) for end in (codebook.min, codebook.max))
    return np.where((low <= groups) & (groups <= high), g, 0)


def _of_the_codebook(g, groups, codebook):
    index = refq.lloyd_step(groups, codebook)[1]
    return refq.codebook_lookup(index, refq.codebook_lookup_vjp(g, index, codebook))


WRONG = {
    "clipped at the outermost entries": _wrong(_clipped),
    "averaged over the members of an entry": _wrong(_of_the_codebook),
    "the derivative, which is 0": _wrong(lambda g, groups, codebook: g * 0),
}
