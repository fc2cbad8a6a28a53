"""Sentences through an encoder: batches, padding, and one vector a sentence."""

import json
import os

import numpy as np
import pytest

import refq
import refq_fast
from refq.errors import NonFiniteError
from refq.jobs import encoder
from tests.files.encoders import ALBERT, CONFIG, albert_name, write_encoder
from tests.files.test_encoder import tensors
from tests.support import both

TEXTS = ["the cat sat .", "a dog", ("the cat", "on the mat ."), "the dogs sat on the mat .", "", "a cat . a dog ."]


@pytest.fixture(params=["bert", "albert"])
def directory(request, tmp_path):
    raw = CONFIG if request.param == "bert" else ALBERT
    rename = (lambda name: name) if request.param == "bert" else albert_name
    return write_encoder(tmp_path / "model", raw, tensors(tmp_path, raw), rename)


@both
@pytest.mark.parametrize("numbers", [2**22, 500, 1])
def test_batches_change_nothing(engine, directory, monkeypatch, numbers):
    monkeypatch.setattr(encoder, "NUMBERS", numbers)
    config, params = encoder.load_encoder(directory)
    encoded = encoder.encode_texts(directory, config, TEXTS)
    vectors = encoder.sentence_vectors(engine, (config, params), encoded)
    for (ids, types), vector in zip(encoded, vectors, strict=True):
        tokens, types = np.array([ids]), np.array([types])
        hidden, _ = refq.bert_forward(params, tokens, np.ones(tokens.shape, bool), config, None, types)
        np.testing.assert_allclose(vector, hidden[0].mean(axis=0), atol=1e-5)


def test_batches_hold_every_text_once_by_length(directory):
    config, _ = encoder.load_encoder(directory)
    encoded = encoder.encode_texts(directory, config, TEXTS * 40)
    seen = []
    for numbers, tokens, mask, types in encoder.batches(config, encoded):
        assert tokens.shape == mask.shape == types.shape
        assert (mask.sum(axis=1) == [len(encoded[n][0]) for n in numbers]).all()
        assert not tokens[~mask].any()
        seen += numbers
    assert sorted(seen) == list(range(len(encoded)))
    assert sorted(len(encoded[n][0]) for n in seen) == [len(encoded[n][0]) for n in seen]


def test_texts_are_cut_to_the_positions(directory):
    config, _ = encoder.load_encoder(directory)
    [(ids, _)] = encoder.encode_texts(directory, config, ["the cat " * 30])
    assert len(ids) == config["max_position_embeddings"]
    [(ids, _)] = encoder.encode_texts(directory, config, ["the cat " * 30], most=5)
    assert len(ids) == 5


def test_a_state_that_is_not_finite_is_refused(directory):
    config, params = encoder.load_encoder(directory)
    params["embeddings.LayerNorm.bias"] = params["embeddings.LayerNorm.bias"] * np.float32(np.inf)
    encoded = encoder.encode_texts(directory, config, TEXTS)
    with pytest.raises(NonFiniteError, match="a state of a sentence"), np.errstate(all="ignore"):
        encoder.sentence_vectors(refq, (config, params), encoded)


def test_the_mean_of_what_is_no_padding():
    hidden, mask = np.float32([[[1, 2], [3, 6], [50, 50]]]), np.array([[True, True, False]])
    assert encoder.mean_pooled(hidden, mask).tolist() == [[2, 4]]


def test_a_real_model_on_pairs_of_sentences(data):
    folder, file = os.environ.get("REFQ_MINILM"), data / "glue" / "stsb" / "dev.jsonl"
    if not folder or not file.exists():
        pytest.skip("REFQ_MINILM, the directory of all-MiniLM-L6-v2, is not set, or REFQ_TEST_DATA has no glue/stsb")
    items = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    model = encoder.load_encoder(folder)
    encoded = encoder.encode_texts(folder, model[0], [item[f"sentence{n}"] for item in items for n in (1, 2)])
    vectors = encoder.sentence_vectors(refq_fast, model, encoded)
    first = encoder.sentence_vectors(refq, model, encoded[:50])
    assert np.abs(first - vectors[:50]).max() <= 1e-5
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = (vectors[::2] * vectors[1::2]).sum(axis=1)
    found = np.corrcoef(_ranks(cosine), _ranks([item["score"] for item in items]))[0, 1]
    assert abs(found - 0.8673) <= 0.0005


def _ranks(values):
    """Of equal values the mean of their ranks."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]
