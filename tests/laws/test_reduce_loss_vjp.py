"""Laws of reduce_loss_vjp."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import test_reduce_loss
from tests.laws.operations import assert_float64_is_kept, assert_linear_in, tenths
from tests.support import both


@st.composite
def arguments(draw):
    return {"g": draw(tenths(()))} | draw(test_reduce_loss.arguments())


@both
@given(arguments())
def test_linear_in_g(engine, arguments):
    assert_linear_in(engine.reduce_loss_vjp, arguments)


@both
@given(arguments())
def test_padding_has_no_slope(engine, arguments):
    assert not engine.reduce_loss_vjp(**arguments)[~arguments["mask"]].any()


@both
@given(arguments())
def test_the_slopes_of_a_mean_sum_to_g(engine, arguments):
    glosses = engine.reduce_loss_vjp(**(arguments | {"reduction": "token_mean"}))
    np.testing.assert_allclose(glosses.sum(), arguments["g"], atol=1e-6)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.reduce_loss_vjp, arguments)


def _wrong(count, masked=True):
    def vjp(g, losses, mask, reduction="token_mean"):
        refq.reduce_loss_vjp(g, losses, mask, reduction)
        return np.where(mask | (not masked), g / np.float32(count(losses, mask, reduction)), 0).astype(np.float32)

    return vjp


WRONG = {
    "always batchmean": _wrong(lambda losses, mask, how: len(losses)),
    "always token mean": _wrong(lambda losses, mask, how: np.sum(mask)),
    "padding counted in the mean": _wrong(
        lambda losses, mask, how: losses.size if how == "token_mean" else len(losses)
    ),
    "padding with a slope": _wrong(
        lambda losses, mask, how: np.sum(mask) if how == "token_mean" else len(losses), masked=False
    ),
    "not divided": _wrong(lambda losses, mask, how: 1),
    "g forgotten": lambda g, **forward: refq.reduce_loss_vjp(np.ones_like(g), **forward),
}
