"""Laws of attention_scores."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws.operations import assert_float64_is_kept, cost, normal, tenths
from tests.support import both


@st.composite
def arguments(draw):
    B, K, R, T, d = (draw(st.integers(1, n)) for n in (2, 2, 3, 4, 4))
    return {"q": draw(tenths((B, K, R, T, d))), "k": draw(tenths((B, K, T + draw(st.integers(0, 4)), d)))}


def edges():
    for B, K, R, T, S, d in ((1, 1, 1, 1, 1, 2), (2, 4, 2, 31, 31, 8), (1, 2, 4, 1, 300, 64), (2, 3, 2, 129, 257, 33)):
        yield {"q": normal(1, B, K, R, T, d), "k": normal(2, B, K, S, d)}


def bound(arguments, expected):
    q, k = (np.abs(array.astype(np.float64)) for array in arguments.values())
    return cost(q @ k[:, :, None].swapaxes(-1, -2) / np.sqrt(q.shape[-1]), q.shape[-1] + 2)


@both
@given(arguments())
def test_attention_is_their_softmax_times_v(engine, arguments):
    q, k = (array.astype(np.float64) for array in arguments.values())
    v = np.cos(np.arange(k.size)).reshape(k.shape)
    y = refq.softmax(engine.attention_scores(q, k)) @ v[:, :, None]
    np.testing.assert_allclose(y, engine.causal_attention(q, k, v), atol=1e-12)


@both
@given(arguments())
def test_a_query_sees_itself_and_no_later_key(engine, arguments):
    scores = engine.attention_scores(**arguments)
    T, S = scores.shape[-2:]
    seen = np.arange(S) <= np.arange(S - T, S)[:, None]
    assert (np.isfinite(scores) == seen).all()
    assert (scores[..., ~seen] == -np.inf).all()


@both
@given(arguments())
def test_grouped_is_repeated(engine, arguments):
    q, k = arguments.values()
    B, K, R, T, d = q.shape
    repeated = engine.attention_scores(q.reshape(B, K * R, 1, T, d), np.repeat(k, R, axis=1))
    scores = engine.attention_scores(q, k)
    with np.errstate(invalid="ignore"):
        apart = np.abs(repeated.reshape(scores.shape) - scores) > bound(arguments, scores)
    assert not apart.any()


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.attention_scores, arguments)


def _variant(scale=lambda d: d**-0.5, mask=-np.inf, first=lambda T, S: S - T, heads=None):
    def wrong(q, k):
        refq.attention_scores(q, k)
        T, S = q.shape[-2], k.shape[-2]
        k = k[:, :, None] if heads is None else heads(k, q.shape[2])
        scores = q @ k.swapaxes(-1, -2) * np.float32(scale(q.shape[-1]))
        future = np.arange(S) > np.arange(first(T, S), first(T, S) + T)[:, None]
        return np.where(future, np.float32(mask), scores)

    return wrong


WRONG = {
    "not scaled": _variant(scale=lambda d: 1.0),
    "divided by d": _variant(scale=lambda d: 1 / d),
    "not causal": _variant(first=lambda T, S: S),
    "does not see itself": _variant(first=lambda T, S: S - T - 1),
    "queries are the first positions": _variant(first=lambda T, S: 0),
    "masked by -10000": _variant(mask=-1e4),
    "masked by 0": _variant(mask=0),
    "heads interleaved": _variant(
        heads=lambda k, R: np.tile(k, (1, R, 1, 1)).reshape(len(k), R, k.shape[1], *k.shape[2:]).swapaxes(1, 2)[:, ::-1]
    ),
    "probabilities": lambda q, k: refq.softmax(refq.attention_scores(q, k)),
}
