"""Laws of llama_decode."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import test_llama_forward
from tests.laws.operations import UNIT
from tests.support import both, int_arrays


@st.composite
def arguments(draw):
    forward = draw(test_llama_forward.arguments())
    tokens, cache = forward["tokens"], None
    if draw(st.booleans()):
        start = draw(int_arrays((len(tokens), draw(st.integers(1, 4))), 0, 10))
        _, cache = refq.llama_decode(forward["params"], start, None, forward["config"])
    return {"params": forward["params"], "tokens": tokens, "cache": cache, "config": forward["config"]}


def bound(arguments, expected):
    """A thousand roundings of the largest number."""
    logits, cache = expected
    return [
        1000 * UNIT * np.abs(logits).max(),
        [[1000 * UNIT * max(np.abs(array).max(), 1) for array in pair] for pair in cache],
    ]


@both
@given(test_llama_forward.arguments(), st.lists(st.integers(0, 5), max_size=3))
def test_any_split_gives_the_logits_of_forward(engine, arguments, cuts):
    logits, cache = engine.llama_forward(**arguments), None
    params, tokens, config = arguments.values()
    parts = []
    for piece in np.split(tokens, sorted(cuts), axis=1):
        if piece.shape[1]:
            part, cache = engine.llama_decode(params, piece, cache, config)
            parts.append(part)
    found = np.concatenate(parts, axis=1)
    np.testing.assert_allclose(found, logits, atol=test_llama_forward.bound(arguments, logits))


@both
@given(arguments())
def test_the_cache_grows_and_the_old_one_stays(engine, arguments):
    before = [[array.copy() for array in pair] for pair in arguments["cache"] or []]
    _, cache = engine.llama_decode(**arguments)
    assert len(cache) == arguments["config"]["num_hidden_layers"]
    for pair, old in zip(cache, before, strict=bool(before)):
        for array, kept in zip(pair, old, strict=True):
            np.testing.assert_array_equal(array[:, :, : kept.shape[2]], kept)
            assert array.shape[2] == kept.shape[2] + arguments["tokens"].shape[1]
    for pair, old in zip(arguments["cache"] or [], before, strict=True):
        for array, kept in zip(pair, old, strict=True):
            np.testing.assert_array_equal(array, kept)


@both
@given(arguments())
def test_a_sequence_of_the_batch_stands_alone(engine, arguments):
    logits, cache = engine.llama_decode(**arguments)
    within, _ = bound(arguments, (logits, cache))
    for b in range(len(logits)):
        part = arguments["cache"] and [[array[b : b + 1] for array in pair] for pair in arguments["cache"]]
        alone, _ = engine.llama_decode(**arguments | {"tokens": arguments["tokens"][b : b + 1], "cache": part})
        np.testing.assert_allclose(alone[0], logits[b], rtol=0, atol=within)


@both
@given(arguments())
def test_a_token_does_not_see_the_next(engine, arguments):
    logits, cache = engine.llama_decode(**arguments)
    tokens = arguments["tokens"].copy()
    tokens[:, -1] = (tokens[:, -1] + 1) % len(arguments["params"]["model.embed_tokens.weight"])
    other, _ = engine.llama_decode(**arguments | {"tokens": tokens})
    within, _ = bound(arguments, (logits, cache))
    np.testing.assert_allclose(other[:, :-1], logits[:, :-1], rtol=0, atol=within)


def _restarted(params, tokens, cache, config):
    from_zero = {"rope": lambda x, positions, frequencies: refq.rope(x, positions - positions[0], frequencies)}
    return test_llama_forward.with_operation("llama_decode", **from_zero)(
        params=params, tokens=tokens, cache=cache, config=config
    )


def _forgetful(params, tokens, cache, config):
    refq.llama_decode(params, tokens, cache, config)
    return refq.llama_decode(params, tokens, None, config)


def _first_positions(q, k, v):
    return refq.causal_attention(q, k[:, :, : q.shape[-2]], v[:, :, : q.shape[-2]])


def _new_only(params, tokens, cache, config):
    logits, grown = refq.llama_decode(params, tokens, cache, config)
    T = tokens.shape[1]
    return logits, [(k[:, :, -T:], v[:, :, -T:]) for k, v in grown]


def _swapped(params, tokens, cache, config):
    logits, grown = refq.llama_decode(params, tokens, cache, config)
    return logits, [(v, k) for k, v in grown]


def _unrotated(params, tokens, cache, config):
    still = {"rope": lambda x, positions, frequencies: x}
    logits, _ = refq.llama_decode(params, tokens, cache, config)
    wrong = test_llama_forward.with_operation("llama_decode", **still)
    return logits, wrong(params=params, tokens=tokens, cache=cache, config=config)[1]


WRONG = {
    name: test_llama_forward.with_operation("llama_decode", **replaced)
    for name, replaced in test_llama_forward.OPERATIONS.items()
    if not name.startswith("eps")
} | {
    "positions start again": _restarted,
    "cache ignored": _forgetful,
    "attention to the first positions": test_llama_forward.with_operation(
        "llama_decode", causal_attention=_first_positions
    ),
    "cache holds the new positions alone": _new_only,
    "keys and values swapped": _swapped,
    "keys kept before their rotation": _unrotated,
    "logits without the cache": lambda **arguments: refq.llama_decode(**arguments)[0],
}
