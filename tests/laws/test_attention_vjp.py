"""Laws of attention_vjp."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import test_attention
from tests.laws.operations import assert_float64_is_kept, assert_linear_in, cost, normal, tenths
from tests.support import both


@st.composite
def arguments(draw):
    forward = draw(test_attention.arguments())
    return {"g": draw(tenths(forward["q"].shape))} | forward


def edges():
    for forward in test_attention.edges():
        yield {"g": normal(4, *forward["q"].shape)} | forward


def bound(arguments, expected):
    g, q, k, v = (np.abs(arguments[name].astype(np.float64)) for name in "gqkv")
    p, relative = test_attention.weights(arguments["q"], arguments["k"], arguments["mask"])
    T, d, S = *q.shape[-2:], k.shape[-2]
    gp = g @ v.swapaxes(-1, -2)
    gscores = p * (gp + (p * gp).sum(axis=-1, keepdims=True)) / np.sqrt(d)
    roundings = (2 * relative + 2 * S + d + 8).max() + T
    magnitudes = gscores @ k, gscores.swapaxes(-1, -2) @ q, p.swapaxes(-1, -2) @ g
    return [cost(magnitude, roundings) for magnitude in magnitudes]


@both
@given(arguments())
def test_linear_in_g(engine, arguments):
    assert_linear_in(engine.attention_vjp, arguments)


@both
@given(arguments())
def test_the_gradients_of_values_sum_to_g(engine, arguments):
    *_, gv = engine.attention_vjp(**arguments)
    some = arguments["mask"].any(axis=1)[:, None, None]
    np.testing.assert_allclose(gv.sum(axis=2), arguments["g"].sum(axis=2) * some, atol=1e-4)


@both
@given(arguments())
def test_a_key_that_is_not_seen(engine, arguments):
    hidden = ~arguments["mask"][:, None, :, None]
    for gradient in engine.attention_vjp(**arguments)[1:]:
        assert not (gradient * hidden).any()


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.attention_vjp, arguments)


def _formula(root=True, mean=True, mask=True, gv=True):
    def vjp(g, q, k, v, mask_):
        refq.attention_vjp(g, q, k, v, mask_)
        seen = mask_ if mask else np.ones_like(mask_)
        p, _ = test_attention.weights(q, k, seen)
        gp = g @ v.swapaxes(-1, -2)
        gscores = p * (gp - (p * gp).sum(axis=-1, keepdims=True) * mean) * (q.shape[-1] ** -0.5 if root else 1)
        parts = gscores @ k, gscores.swapaxes(-1, -2) @ q, (p if gv else gscores).swapaxes(-1, -2) @ g
        return [part.astype(np.float32) for part in parts]

    return lambda g, q, k, v, mask: vjp(g, q, k, v, mask)


def _swapped(**arguments):
    gq, gk, gv = refq.attention_vjp(**arguments)
    return gq, gv, gk


WRONG = {
    "no scale": _formula(root=False),
    "softmax without its mean": _formula(mean=False),
    "no mask": _formula(mask=False),
    "gv by the scores": _formula(gv=False),
    "gk and gv swapped": _swapped,
    "only the keys' gradient masked": lambda g, q, k, v, mask: [
        refq.attention_vjp(g, q, k, v, np.ones_like(mask))[0],
        *refq.attention_vjp(g, q, k, v, mask)[1:],
    ],
    "of queries that are masked too": lambda g, q, k, v, mask: refq.attention_vjp(
        g * mask[:, None, :, None] if g.shape[2] == k.shape[2] else g, q, k, v, mask
    ),
}
