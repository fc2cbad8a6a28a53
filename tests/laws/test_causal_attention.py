"""Laws of causal_attention."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws.operations import UNIT, assert_float64_is_kept, assert_linear_in, cost, normal, tenths
from tests.support import both


@st.composite
def arguments(draw):
    B, K, R, T, d = (draw(st.integers(1, n)) for n in (2, 2, 3, 4, 4))
    S = T + draw(st.integers(0, 4))
    return {"q": draw(tenths((B, K, R, T, d))), "k": draw(tenths((B, K, S, d))), "v": draw(tenths((B, K, S, d)))}


def edges():
    for B, K, R, T, S, d in (
        (1, 1, 1, 1, 1, 2),
        (2, 4, 2, 31, 31, 8),
        (1, 2, 4, 1, 300, 64),
        (1, 2, 1, 65, 130, 16),
        (1, 1, 8, 129, 257, 33),
        (2, 3, 2, 257, 257, 16),  # heads in several threads
    ):
        yield {"q": normal(1, B, K, R, T, d), "k": normal(2, B, K, S, d), "v": normal(3, B, K, S, d)}


def weights(q, k):
    """Probabilities (B, K, R, T, S) in float64, and how far each may be off, relative."""
    T, S, d = q.shape[-2], k.shape[-2], q.shape[-1]
    q, k = q.astype(np.float64), k.astype(np.float64)[:, :, None].swapaxes(-1, -2)
    future = np.arange(S) > np.arange(S - T, S)[:, None]
    p = refq.softmax(np.where(future, -np.inf, q @ k / np.sqrt(d)))
    size = (np.abs(q) @ np.abs(k)).max(axis=-1, keepdims=True) / np.sqrt(d)
    return p, 2 * (d + 4) * size + 2 * size + S + 20


def bound(arguments, expected):
    p, relative = weights(arguments["q"], arguments["k"])
    S = p.shape[-1]
    return cost(p @ np.abs(arguments["v"])[:, :, None], relative + S + 2)


@both
def test_nothing_in_nothing_out(engine):
    for shape in ((0, 2, 3, 40, 8), (1, 0, 1, 40, 8), (1, 2, 0, 40, 8), (1, 2, 3, 0, 8)):
        q, k = np.empty(shape, np.float32), np.ones((*shape[:2], 40, 8), np.float32)
        assert engine.causal_attention(q, k, k).shape == shape
        assert [gradient.shape for gradient in engine.causal_attention_vjp(q, q, k, k)] == [shape, k.shape, k.shape]
    k = np.empty((1, 2, 0, 8), np.float32)
    with pytest.raises(refq.errors.ShapeError, match="1 <= S"):
        engine.causal_attention(np.empty((1, 2, 3, 0, 8), np.float32), k, k)


@both
@given(arguments())
def test_the_future_changes_nothing(engine, arguments):
    q, k, v = arguments.values()
    T, S = q.shape[-2], k.shape[-2]
    y = engine.causal_attention(q, k, v)
    k, v = k.copy(), v.copy()
    k[:, :, S - T + 1 :] = 1e4
    v[:, :, S - T + 1 :] = -1e4
    first = engine.causal_attention(q, k, v)[..., :1, :]
    np.testing.assert_allclose(first, y[..., :1, :], atol=bound(arguments, y).max())


@both
@given(arguments())
def test_grouped_is_repeated(engine, arguments):
    q, k, v = arguments.values()
    B, K, R, T, d = q.shape
    k, v = (np.repeat(array, R, axis=1) for array in (k, v))
    repeated = engine.causal_attention(q.reshape(B, K * R, 1, T, d), k, v).reshape(q.shape)
    y = engine.causal_attention(**arguments)
    assert (np.abs(repeated - y) <= bound(arguments, y)).all()


@both
@given(arguments())
def test_a_split_of_the_queries(engine, arguments):
    q, k, v = arguments.values()
    T, S = q.shape[-2], k.shape[-2]
    y = engine.causal_attention(q, k, v)
    for t in range(T):
        seen = S - T + t + 1
        one = engine.causal_attention(q[..., t : t + 1, :], k[:, :, :seen], v[:, :, :seen])
        np.testing.assert_allclose(one, y[..., t : t + 1, :], atol=bound(arguments, y).max())


@both
@given(arguments())
def test_between_the_values(engine, arguments):
    y, v = engine.causal_attention(**arguments), arguments["v"][:, :, None]
    slack = 64 * UNIT * np.abs(v).max()
    assert (y <= v.max(axis=-2, keepdims=True) + slack).all()
    assert (y >= v.min(axis=-2, keepdims=True) - slack).all()


@both
@given(arguments())
def test_linear_in_v(engine, arguments):
    assert_linear_in(engine.causal_attention, arguments, "v")


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.causal_attention, arguments)


def wrong(scale=lambda d: d**-0.5, seen=0, first=False, hide=-np.inf, tiled=False, axis=-1, after=False):
    """Attention with a mistake: scale, mask shifted by `seen`, queries taken as the first, masked by a number ..."""

    def causal_attention(q, k, v):
        refq.causal_attention(q, k, v)
        B, K, R, T, d = q.shape
        S = k.shape[2]
        if tiled:
            q = q.reshape(B, R, K, T, d).swapaxes(1, 2)
        scores = q @ k[:, :, None].swapaxes(-1, -2) * np.float32(scale(d))
        future = np.arange(S) > np.arange(0 if first else S - T, T if first else S)[:, None] + seen
        with np.errstate(all="ignore"):
            e = np.where(future & (not after), scores + np.float32(hide), scores)
            p = np.exp(e - e.max(axis=axis, keepdims=True))
            p = (
                np.where(future, 0, p / p.sum(axis=axis, keepdims=True))
                if after
                else p / p.sum(axis=axis, keepdims=True)
            )
        y = (p @ v[:, :, None]).astype(np.float32)
        return y.swapaxes(1, 2).reshape(B, K, R, T, d) if tiled else y

    return causal_attention


MISTAKES = {
    "no scale": {"scale": lambda d: 1.0},
    "scale 1 / d": {"scale": lambda d: 1 / d},
    "sees one key too many": {"seen": 1},
    "does not see itself": {"seen": -1},
    "queries taken as the first positions": {"first": True},
    "no mask": {"seen": 10**6},
    "masked by -10000": {"hide": -1e4},
    "masked after the softmax": {"after": True},
    "heads tiled instead of repeated": {"tiled": True},
    "softmax over the queries": {"axis": -2},
}
WRONG = {name: wrong(**mistake) for name, mistake in MISTAKES.items()}
