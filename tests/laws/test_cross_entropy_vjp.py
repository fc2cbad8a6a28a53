"""Laws of cross_entropy_vjp."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import test_cross_entropy
from tests.laws.operations import assert_float64_is_kept, assert_linear_in, cost, normal, softmax_cost, tenths
from tests.support import both


@st.composite
def arguments(draw):
    forward = draw(test_cross_entropy.arguments())
    return {"g": draw(tenths(forward["targets"].shape))} | forward


def edges():
    for forward in test_cross_entropy.edges():
        yield {"g": normal(4, len(forward["targets"]))} | forward


def bound(arguments, expected):
    y = refq.softmax(arguments["logits"].astype(np.float64))
    onehot = arguments["targets"][..., None] == np.arange(y.shape[-1])
    return cost(np.abs(arguments["g"])[..., None] * (y + onehot), softmax_cost(arguments["logits"]))


@both
@given(arguments())
def test_linear_in_g(engine, arguments):
    assert_linear_in(engine.cross_entropy_vjp, arguments)


@both
@given(arguments())
def test_it_sums_to_zero(engine, arguments):
    np.testing.assert_allclose(engine.cross_entropy_vjp(**arguments).sum(axis=-1), 0, atol=1e-5)


@both
@given(arguments())
def test_only_the_target_wants_more(engine, arguments):
    g = np.ones_like(arguments["g"])
    glogits = engine.cross_entropy_vjp(**(arguments | {"g": g}))
    onehot = arguments["targets"][..., None] == np.arange(glogits.shape[-1])
    assert (glogits[onehot] <= 0).all()
    assert (glogits[~onehot] >= 0).all()


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.cross_entropy_vjp, arguments)


WRONG = {
    "g forgotten": lambda g, logits, targets: refq.cross_entropy_vjp(np.ones_like(g), logits, targets),
    "averaged": lambda g, logits, targets: refq.cross_entropy_vjp(g, logits, targets) / np.float32(g.size),
    "softmax alone": lambda g, logits, targets: g[..., None] * refq.softmax(logits),
    "sign": lambda g, logits, targets: -refq.cross_entropy_vjp(g, logits, targets),
    "targets from 1": lambda g, logits, targets: refq.cross_entropy_vjp(g, logits, np.maximum(targets - 1, 0)),
}
