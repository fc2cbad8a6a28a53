"""Laws of attention_scores_vjp."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import test_attention_scores
from tests.laws.operations import assert_float64_is_kept, assert_linear_in, cost, normal, tenths
from tests.support import both


@st.composite
def arguments(draw):
    forward = draw(test_attention_scores.arguments())
    q, k = forward.values()
    return {"g": draw(tenths((*q.shape[:-1], k.shape[-2])))} | forward


def edges():
    for forward in test_attention_scores.edges():
        q, k = forward.values()
        yield {"g": normal(4, *q.shape[:-1], k.shape[-2])} | forward


def bound(arguments, expected):
    g, q, k = (np.abs(array.astype(np.float64)) for array in arguments.values())
    g = g / np.sqrt(q.shape[-1])
    terms = sum(g.shape[-3:])
    return [cost(g @ k[:, :, None], terms), cost((g.swapaxes(-1, -2) @ q).sum(axis=2), terms)]


@both
@given(arguments())
def test_linear_in_g(engine, arguments):
    assert_linear_in(engine.attention_scores_vjp, arguments)


@both
@given(arguments(), st.sampled_from([np.inf, np.nan, 7.0]))
def test_the_future_does_not_count(engine, arguments, value):
    g = arguments["g"]
    T, S = g.shape[-2:]
    hidden = np.where(np.arange(S) > np.arange(S - T, S)[:, None], np.float32(value), g)
    for one, other in zip(
        engine.attention_scores_vjp(**arguments),
        engine.attention_scores_vjp(**(arguments | {"g": hidden})),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


@both
@given(arguments())
def test_both_gradients_weigh_the_scores_alike(engine, arguments):
    g, q, k = (array.astype(np.float64) for array in arguments.values())
    scores = engine.attention_scores(q, k)
    gq, gk = engine.attention_scores_vjp(g, q, k)
    due = (g * np.where(np.isfinite(scores), scores, 0)).sum()
    np.testing.assert_allclose([(gq * q).sum(), (gk * k).sum()], due, atol=1e-9)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.attention_scores_vjp, arguments)


def _edited(gq=lambda v, q: v, gk=lambda v, q: v, g=lambda g: g):
    def vjp(**arguments):
        parts = refq.attention_scores_vjp(**(arguments | {"g": g(arguments["g"])}))
        return [edit(part, arguments["q"]) for edit, part in zip((gq, gk), parts, strict=True)]

    return vjp


def _future_counts(g, q, k):
    refq.attention_scores_vjp(g, q, k)
    with np.errstate(invalid="ignore"):
        g = g * np.float32(q.shape[-1] ** -0.5)
        return g @ k[:, :, None], (g.swapaxes(-1, -2) @ q).sum(axis=2)


def _times_the_mask(g, q, k):
    T, S = g.shape[-2:]
    with np.errstate(invalid="ignore"):
        return _future_counts(g * (np.arange(S) <= np.arange(S - T, S)[:, None]), q, k)


WRONG = {
    "the future counts": _future_counts,
    "g times the mask": _times_the_mask,
    "gq without the scale": _edited(gq=lambda v, q: v * np.float32(q.shape[-1] ** 0.5)),
    "gk without the scale": _edited(gk=lambda v, q: v * np.float32(q.shape[-1] ** 0.5)),
    "gk of one query a head": lambda g, q, k: (
        refq.attention_scores_vjp(g, q, k)[0],
        refq.attention_scores_vjp(g[:, :, :1], q[:, :, :1], k)[1],
    ),
    "gk averaged over the queries of a head": _edited(gk=lambda v, q: v / np.float32(q.shape[2])),
    "g forgotten": _edited(g=np.ones_like),
}
