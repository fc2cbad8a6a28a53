"""Laws of attention."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws.operations import UNIT, assert_float64_is_kept, assert_linear_in, cost, normal, tenths
from tests.support import both, int_arrays


@st.composite
def arguments(draw):
    B, H, T, S, d = (draw(st.integers(1, n)) for n in (2, 2, 12, 5, 4))
    q, k, v = draw(tenths((B, H, T, d))), draw(tenths((B, H, S, d))), draw(tenths((B, H, S, d)))
    return {"q": q, "k": k, "v": v, "mask": draw(int_arrays((B, S), 0, 1, bool))}


def edges():
    for B, H, T, S, d in (
        (1, 1, 9, 1, 2),
        (2, 4, 31, 31, 8),
        (3, 2, 8, 40, 16),
        (2, 2, 65, 130, 33),
        (4, 12, 200, 200, 32),  # heads in several threads
    ):
        mask = np.arange(S) < np.linspace(0, S, B, dtype=int)[:, None]
        mask[-1] = normal(5, S) > 0  # padding anywhere
        q, k, v = normal(1, B, H, T, d), normal(2, B, H, S, d), normal(3, B, H, S, d)
        yield {"q": q, "k": k, "v": v, "mask": mask}


def weights(q, k, mask):
    """Probabilities (B, H, T, S) in float64, and how far each may be off, relative."""
    S, d, seen = k.shape[-2], q.shape[-1], mask[:, None, None]
    q, k = q.astype(np.float64), k.astype(np.float64).swapaxes(-1, -2)
    scores = np.where(seen, q @ k / np.sqrt(d), -np.inf)
    p = np.where(seen, refq.softmax(np.where(seen.any(axis=-1, keepdims=True), scores, 0)), 0)
    size = (np.abs(q) @ np.abs(k)).max(axis=-1, keepdims=True) / np.sqrt(d)
    return p, 2 * (d + 4) * size + 2 * size + S + 20


def bound(arguments, expected):
    p, relative = weights(arguments["q"], arguments["k"], arguments["mask"])
    return cost(p @ np.abs(arguments["v"]), relative + p.shape[-1] + 2)


@both
def test_nothing_in_nothing_out(engine):
    for B, H, T in ((0, 2, 40), (1, 0, 40), (1, 2, 0)):
        q, k, mask = np.empty((B, H, T, 8), np.float32), np.ones((B, H, 40, 8), np.float32), np.ones((B, 40), bool)
        assert engine.attention(q, k, k, mask).shape == q.shape
        assert [part.shape for part in engine.attention_vjp(q, q, k, k, mask)] == [q.shape, k.shape, k.shape]
    with pytest.raises(refq.errors.ShapeError, match="1 and more"):
        engine.attention(*[np.empty((1, 2, 0, 8), np.float32)] * 3, np.ones((1, 0), bool))


@both
@given(arguments())
def test_what_is_not_seen_changes_nothing(engine, arguments):
    y, hidden = engine.attention(**arguments), ~arguments["mask"][:, None, :, None]
    k, v = np.where(hidden, np.float32(1e4), arguments["k"]), np.where(hidden, np.float32(-1e4), arguments["v"])
    np.testing.assert_array_equal(engine.attention(**(arguments | {"k": k, "v": v})), y)


@both
@given(arguments())
def test_the_order_of_the_keys_is_free(engine, arguments):
    y = engine.attention(**arguments)
    turned = {name: arguments[name][:, :, ::-1] for name in ("k", "v")} | {"mask": arguments["mask"][:, ::-1]}
    assert (np.abs(engine.attention(**(arguments | turned)) - y) <= bound(arguments, y)).all()


@both
@given(arguments())
def test_the_last_query_of_causal_attention(engine, arguments):
    arguments |= {"mask": np.ones_like(arguments["mask"])}
    y, q = engine.attention(**arguments), arguments["q"][:, :, None, -1:]
    last = engine.causal_attention(q, arguments["k"], arguments["v"])[:, :, 0]
    assert (np.abs(last - y[:, :, -1:]) <= bound(arguments, y)[:, :, -1:]).all()


@both
@given(arguments())
def test_between_the_values(engine, arguments):
    y, v, seen = engine.attention(**arguments), arguments["v"], arguments["mask"][:, None, :, None]
    slack, some = 64 * UNIT * np.abs(v).max(), seen.any(axis=2, keepdims=True)
    assert (np.where(some, y, -9) <= np.where(seen, v, -9).max(axis=-2, keepdims=True) + slack).all()
    assert (np.where(some, y, 9) >= np.where(seen, v, 9).min(axis=-2, keepdims=True) - slack).all()
    assert not np.where(some, 0, y).any()


@both
@given(arguments())
def test_linear_in_v(engine, arguments):
    assert_linear_in(engine.attention, arguments, "v")


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.attention, arguments)


def wrong(scale=lambda d: d**-0.5, hide=-np.inf, invert=False, after=False, axis=-1, queries=False, causal=False):
    """Attention with a mistake."""

    def attention(q, k, v, mask):
        refq.attention(q, k, v, mask)
        seen = ((~mask if invert else mask)[:, None, None]) | np.zeros((q.shape[2], 1), bool)
        if causal:
            seen = seen & (np.arange(k.shape[2]) <= np.arange(q.shape[2])[:, None])
        scores = q @ k.swapaxes(-1, -2) * np.float32(scale(q.shape[-1]))
        with np.errstate(all="ignore"):
            e = scores if after else np.where(seen, scores, scores + np.float32(hide))
            p = np.exp(e - e.max(axis=axis, keepdims=True))
            p = p / p.sum(axis=axis, keepdims=True)
            y = (np.where(seen, p, 0) if after else p) @ v
        y = np.where(mask.any(axis=1)[:, None, None, None] | np.isfinite(hide), y, 0)
        if queries and q.shape[2] == k.shape[2]:
            y = y * mask[:, None, :, None]
        return y.astype(np.float32)

    return attention


def _uniform_where_nothing_is_seen(q, k, v, mask):
    y = refq.attention(q, k, v, mask)
    return np.where(mask.any(axis=1)[:, None, None, None], y, v.mean(axis=2, keepdims=True))


def _no_number_where_nothing_is_seen(q, k, v, mask):
    y = refq.attention(q, k, v, mask)
    return np.where(mask.any(axis=1)[:, None, None, None], y, np.float32(np.nan))


MISTAKES = {
    "no scale": {"scale": lambda d: 1.0},
    "scale 1 / d": {"scale": lambda d: 1 / d},
    "mask the other way round": {"invert": True},
    "masked by -10000": {"hide": -1e4},
    "no mask": {"hide": 0},
    "masked after the softmax": {"after": True},
    "softmax over the queries": {"axis": -2},
    "queries masked too": {"queries": True},
    "causal": {"causal": True},
}
WRONG = {name: wrong(**mistake) for name, mistake in MISTAKES.items()} | {
    "the mean where nothing is seen": _uniform_where_nothing_is_seen,
    "no number where nothing is seen": _no_number_where_nothing_is_seen,
    "mask of the first sequence for all": lambda q, k, v, mask: refq.attention(q, k, v, mask[:1] | (mask & False)),
    "numbers as mask": lambda q, k, v, mask: refq.attention(q, k, v, np.asarray(mask) != 0),
}
