"""Does it still speak? A seeded model always; a real one where REFQ_TEST_DATA names the folder of real models."""

import numpy as np
import pytest
import threadpoolctl

import refq
import refq_fast
from refq.files.tokenizer import open_tokenizer
from refq.jobs.model import load_model
from refq.jobs.perplexity import cut_windows, score
from tests.laws.models import seeded_model, wide
from tests.laws.operations import UNIT
from tests.support import both

SEEDED = {"layers": 3, "K": 2, "R": 2, "d": 8, "D": 32, "F": 48, "V": 97, "tied": False, "biases": "qkv"}


@pytest.fixture(autouse=True)
def one_blas_thread():
    """On a busy machine threads of OpenBLAS wait for each other: ten times slower than one alone."""
    with threadpoolctl.threadpool_limits(limits=1, user_api="blas"):
        yield


@pytest.fixture(scope="module")
def seeded():
    """(params, config, tokens (2, 40), logits in float64) of a model with three layers of grouped queries."""
    params, config = seeded_model(3, **SEEDED)
    tokens = np.random.default_rng(5).integers(0, 97, (2, 40))
    return params, config, tokens, refq.llama_forward(wide(params), tokens, config)


@both
def test_seeded_logits_are_near_float64(engine, seeded):
    params, config, tokens, exact = seeded
    logits = engine.llama_forward(params, tokens, config)
    assert np.abs(logits - exact).max() <= 1000 * UNIT * np.abs(exact).max()


@both
def test_seeded_decode_is_forward(engine, seeded):
    params, config, tokens, exact = seeded
    for sizes in ([1] * 40, [17, 1, 1, 21], [40]):
        cache, parts = None, []
        for piece in np.split(tokens, np.cumsum(sizes)[:-1], axis=1):
            logits, cache = engine.llama_decode(params, piece, cache, config)
            parts.append(logits)
        assert np.abs(np.concatenate(parts, axis=1) - exact).max() <= 1000 * UNIT * np.abs(exact).max()


@both
def test_seeded_packed_is_dequantized(engine, seeded):
    params, config, tokens, _ = seeded
    packed, plain = dict(params), dict(params)
    for name, w in params.items():
        if "_proj.weight" in name:
            scale, zero_point = refq.minmax(refq.to_groups(w, 8), -8, 7)
            q = refq.quantize(refq.to_groups(w, 8), scale, zero_point, -8, 7)
            plain[name] = refq.dequantize(q, scale, zero_point).reshape(w.shape)
            parts = (refq.pack_codes(q.reshape(w.shape), 4), scale[..., 0], zero_point[..., 0], 4)
            packed[name] = engine.PackedWeight(*parts)
    exact = refq.llama_forward(wide(plain), tokens, config)
    logits = engine.llama_forward(packed, tokens, config)
    assert np.abs(logits - exact).max() <= 1000 * UNIT * np.abs(exact).max()


@both
@pytest.mark.parametrize(("limit", "recorded"), [(20_000, 3.8368), (None, 4.1634)], ids=["20000", "all"])
def test_stories_perplexity(data, engine, limit, recorded):
    tokens = _tokens(data, "tinystories")[:limit]
    windows = cut_windows(tokens, 256)
    [total] = score(engine, [_stories(data, engine)], windows)
    assert len(tokens) == (limit or 194_359)
    assert abs(np.exp(total / (windows.shape[0] * 255)) - recorded) <= 0.0005


@both
def test_stories_greedy_tokens(data, engine):
    config, params = _stories(data, engine)
    folder = data / "models" / "stories260K"
    tokens, cache = [config["bos_token_id"]], None
    for _ in range(200):
        logits, cache = engine.llama_decode(params, np.array([tokens[-1:]]), cache, config)
        tokens.append(int(logits[0, -1].argmax()))
    text = open_tokenizer(folder, config["vocab_size"]).decode(tokens)
    assert text.encode() == (folder / "original" / "expected_greedy_200.txt").read_bytes()


def test_stories_engines_agree(data):
    tokens = cut_windows(_tokens(data, "wikitext-2")[:512], 256)
    config, params = _stories(data, refq)
    exact = refq.llama_forward(wide(params), tokens, config)
    for engine in (refq, refq_fast):
        logits = engine.llama_forward(params, tokens, config)
        assert np.abs(logits - exact).max() <= 1000 * UNIT * np.abs(exact).max()


def _stories(data, engine):
    return load_model(data / "models" / "stories260K", engine)


def _tokens(data, text):
    tokenizer = open_tokenizer(data / "models" / "stories260K", 512)
    return tokenizer.encode((data / "text" / text / "valid.txt").read_text(encoding="utf-8"))
