"""Directories of BERT and ALBERT: what is read, under which names, and what is refused."""

import json

import numpy as np
import pytest

from refq.errors import CheckpointError, FormatError, TokenizerError
from refq.files.bert_config import is_encoder, read_bert_config
from refq.files.codebook import Codebooks, packed_tensors, quantization_config
from refq.files.encoder import bert_tensors, canonical_name, open_encoder, stored_name
from refq.files.header import DTYPES
from refq.files.tokenizer import open_tokenizer
from refq.jobs.encoder import load_encoder
from tests.files.encoders import ALBERT, CONFIG, WORDS, albert_name, write_encoder, write_tokenizer
from tests.files.models import CONFIG as LLAMA

RENAMED = {
    "as BertModel": (CONFIG, lambda name: name),
    "with a prefix": (CONFIG, lambda name: f"bert.{name}"),
    "gamma and beta": (
        CONFIG,
        lambda name: name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"),
    ),
    "as AlbertModel": (ALBERT, albert_name),
    "ALBERT with a prefix": (ALBERT, lambda name: f"albert.{albert_name(name)}"),
}


def written_config(path, raw):
    path.write_text(json.dumps({key: value for key, value in raw.items() if value is not ...}))
    return path


def tensors(directory, raw, pooler=True):
    """Random weights for a raw config, by BertModel's names."""
    config, random = read_bert_config(written_config(directory / "c.json", raw)), np.random.default_rng(0)
    return {n: random.standard_normal(s).astype(np.float32) for n, s in bert_tensors(config, pooler).items()}


@pytest.mark.parametrize("name", RENAMED)
def test_one_set_of_names(tmp_path, name):
    raw, rename = RENAMED[name]
    weights = tensors(tmp_path, raw)
    checkpoint = open_encoder(write_encoder(tmp_path / "model", raw, weights, rename))
    assert list(checkpoint.tensors) == list(weights)
    for name, array in weights.items():
        np.testing.assert_array_equal(checkpoint.read(name), array)


def test_the_config_of_bert(tmp_path):
    raw = CONFIG | {"architectures": ["BertForSequenceClassification"], "id2label": {"0": "a", "1": "b", "2": "c"}}
    config = read_bert_config(written_config(tmp_path / "config.json", raw))
    kept = {key: CONFIG[key] for key in CONFIG if key != "architectures"}
    assert config == kept | {
        "embedding_size": 16,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
        "hidden_act": "gelu",
        "shared_layers": False,
        "num_labels": 3,
        "quantization": None,
        "ignored_heads": (),
    }


def test_the_config_of_albert(tmp_path):
    config = read_bert_config(written_config(tmp_path / "config.json", ALBERT | {"num_hidden_groups": 1}))
    assert (config["embedding_size"], config["hidden_act"], config["shared_layers"]) == (6, "gelu_tanh", True)
    assert config["num_labels"] is None
    missing = ALBERT | {"embedding_size": ..., "architectures": ...}
    assert read_bert_config(written_config(tmp_path / "config.json", missing))["embedding_size"] == 128


def test_which_models_are_encoders(tmp_path):
    for raw, encoder in ((CONFIG, True), (ALBERT | {"model_type": ...}, True), (LLAMA, False), ({}, False)):
        assert is_encoder(written_config(tmp_path / "config.json", raw)) is encoder


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (CONFIG | {"hidden_act": "relu"}, "hidden_act is 'relu'; one of gelu, gelu_new"),
        (CONFIG | {"position_embedding_type": "relative_key"}, "position_embedding_type is 'relative_key'; only"),
        (CONFIG | {"is_decoder": True}, "is_decoder is True; only false"),
        (CONFIG | {"add_cross_attention": True}, "add_cross_attention is True"),
        (ALBERT | {"num_hidden_groups": 2}, "num_hidden_groups is 2; only 1"),
        (ALBERT | {"inner_group_num": 2}, "inner_group_num is 2; only 1"),
        (CONFIG | {"architectures": ["BertForQuestionAnswering"]}, "architectures is .*; one of BertModel,"),
        (CONFIG | {"architectures": ["BertModel"], "model_type": "albert"}, "contradicts"),
        (CONFIG | {"architectures": ..., "model_type": "roberta"}, "architectures is None"),
        (CONFIG | {"num_attention_heads": 5}, "num_attention_heads=5 does not divide hidden_size=16"),
        (CONFIG | {"vocab_size": ...}, "vocab_size is missing"),
        (CONFIG | {"layer_norm_eps": 0}, "layer_norm_eps is 0"),
        (CONFIG | {"architectures": ["BertForSequenceClassification"], "id2label": {}}, "id2label is {}"),
    ],
)
def test_what_is_refused(tmp_path, raw, message):
    with pytest.raises(CheckpointError, match=message):
        read_bert_config(written_config(tmp_path / "config.json", raw))


@pytest.mark.parametrize("quantization", [{"quant_method": "gptq"}, {"bits": 4}, {}])
def test_quantizations_that_are_none_of_ours_are_refused(quantization, tmp_path):
    raw = CONFIG | {"quantization_config": quantization}
    with pytest.raises(FormatError, match="config.json: quant_method is .*; 'refq-codebook' is needed"):
        open_encoder(write_encoder(tmp_path / "model", raw, {}))


def test_a_model_of_codebooks(tmp_path):
    weights, random = tensors(tmp_path, CONFIG), np.random.default_rng(5)
    for strategy, size, books, groups in (("group", 4, "N", 4), ("channel", None, "N", 1), ("tensor", None, 1, 1)):
        stored, expected = {}, dict(weights)
        for name in [name for name, w in weights.items() if w.ndim == 2 and w.shape[1] == 16]:
            w = stored.setdefault(name, weights[name])
            codebook = random.standard_normal((len(w) if books == "N" else 1, groups, 4)).astype(np.float16)
            index = random.integers(0, 4, w.shape)
            expected[name] = np.empty_like(w)
            for row, column in np.ndindex(*w.shape):
                book = codebook[row if books == "N" else 0, column * groups // 16]
                expected[name][row, column] = book[index[row, column]]
            bits = (index[..., None] >> np.arange(2)) & 1
            packed = np.packbits(bits.reshape(len(w), -1), axis=-1, bitorder="little")
            del stored[name]
            stored |= {f"{name}_index": packed, f"{name}_codebook": codebook}
        kept = [n.removesuffix(".weight") for n, w in weights.items() if w.ndim == 2 and w.shape[1] != 16]
        stored |= {name: w for name, w in weights.items() if w.ndim == 1 or name.removesuffix(".weight") in kept}
        raw = CONFIG | {"quantization_config": quantization_config(Codebooks(2, strategy, size, "x"), kept)}
        write_encoder(tmp_path / "model", raw, stored)
        _, params = load_encoder(tmp_path / "model")
        assert list(params) == list(expected)
        for name, w in params.items():
            np.testing.assert_array_equal(w, expected[name], err_msg=name)
    name = "pooler.dense.weight"
    write_encoder(tmp_path / "model", raw, stored | {f"{name}_codebook": np.zeros((1, 1, 4), np.float32)})
    with pytest.raises(CheckpointError, match=r"pooler\.dense\.weight_codebook is F32; F16 is needed"):
        open_encoder(tmp_path / "model")
    stored["embeddings.token_type_embeddings.weight_codebook"][0, 0, 3] = np.nan
    write_encoder(tmp_path / "model", raw, stored)
    with pytest.raises(CheckpointError, match="token_type_embeddings.* is nan"):
        load_encoder(tmp_path / "model")


def test_stray_bits_are_refused(tmp_path):
    scheme, name = Codebooks(3, "tensor", None, "x"), "embeddings.word_embeddings"
    raw = CONFIG | {"hidden_size": 17, "num_attention_heads": 1, "quantization_config": quantization_config(scheme, [])}
    stored = {}
    for key, w in tensors(tmp_path, raw).items():
        parts = (
            packed_tensors(key.removesuffix(".weight"), w.shape, scheme) if w.ndim == 2 else {key: (("F32",), w.shape)}
        )
        stored |= {part: np.zeros(shape, DTYPES[dtypes[0]]) for part, (dtypes, shape) in parts.items()}
    stored[f"{name}.weight_index"][3, -1] = 128
    write_encoder(tmp_path / "model", raw, stored)
    with pytest.raises(FormatError, match=r"codebook\.safetensors: tensor embeddings\.word_embeddings\.weight_index: "):
        load_encoder(tmp_path / "model")


@pytest.mark.parametrize("name", RENAMED)
def test_names_there_and_back(name, tmp_path):
    raw, rename = RENAMED[name]
    raw = raw | (
        {"architectures": [raw["architectures"][0].replace("Model", "ForSequenceClassification")]}
        if "prefix" in name
        else {}
    )
    config = read_bert_config(written_config(tmp_path / "c.json", raw))
    for ours in bert_tensors(config):
        theirs = stored_name(ours, config)
        assert canonical_name(theirs, config["model_type"]) == ours
        if name != "gamma and beta" and not ours.startswith("classifier."):
            assert theirs == rename(ours)


def test_heads(tmp_path):
    masked = CONFIG | {"architectures": ["BertForMaskedLM"]}
    weights = tensors(tmp_path, masked, pooler=False)
    extra = {"cls.predictions.bias": np.zeros(3, np.float32), "bert.embeddings.position_ids": np.arange(12)[None]}
    checkpoint = open_encoder(write_encoder(tmp_path / "model", masked, weights | extra))
    assert checkpoint.ignored == list(extra)
    assert "pooler.dense.weight" not in checkpoint.tensors
    with pytest.raises(CheckpointError, match=r"cls\.predictions\.bias' has no place"):
        open_encoder(write_encoder(tmp_path / "model", CONFIG, weights | extra))


def test_a_classifier(tmp_path):
    raw = ALBERT | {"architectures": ["AlbertForSequenceClassification"], "num_labels": 1}
    weights = tensors(tmp_path, raw)
    assert weights["classifier.weight"].shape == (1, 16)
    assert "classifier.bias" in open_encoder(write_encoder(tmp_path / "model", raw, weights)).tensors
    del weights["classifier.bias"]
    with pytest.raises(CheckpointError, match=r"classifier\.bias of shape \[1\] is missing"):
        open_encoder(write_encoder(tmp_path / "model", raw, weights))


def test_one_tensor_twice(tmp_path):
    weights = tensors(tmp_path, CONFIG)
    weights["bert.pooler.dense.bias"] = weights["pooler.dense.bias"]
    with pytest.raises(CheckpointError, match=r"'bert\.pooler\.dense\.bias' are both pooler\.dense\.bias"):
        open_encoder(write_encoder(tmp_path / "model", CONFIG, weights))


def test_a_file_is_no_directory(tmp_path):
    with pytest.raises(CheckpointError, match="not a directory"):
        open_encoder(tmp_path / "nothing")


def test_names_that_are_not_alberts_stay():
    assert canonical_name("encoder.albert_layer_groups.1.albert_layers.0.ffn.weight", "albert").startswith(
        "encoder.alb"
    )
    assert canonical_name("albert.pooler.bias", "albert") == "pooler.dense.bias"
    assert canonical_name("bert.pooler.dense.bias", "bert") == "pooler.dense.bias"


def test_pairs_of_sentences(tmp_path):
    write_tokenizer(tmp_path)
    tokenizer = open_tokenizer(tmp_path, 24)
    text = [WORDS[n] for n in tokenizer.encode_pair("The cats sat.")[0]]
    assert text == ["[CLS]", "the", "cat", "##s", "sat", ".", "[SEP]"]
    ids, types = tokenizer.encode_pair("the cat", "a dog sat")
    assert [WORDS[n] for n in ids] == ["[CLS]", "the", "cat", "[SEP]", "a", "dog", "sat", "[SEP]"]
    assert types == [0, 0, 0, 0, 1, 1, 1, 1]


def test_the_longer_sentence_loses_its_end(tmp_path):
    write_tokenizer(tmp_path)
    tokenizer = open_tokenizer(tmp_path, 24, 7)
    ids, types = tokenizer.encode_pair("the cat", "a dog sat on the mat")
    assert [WORDS[n] for n in ids] == ["[CLS]", "the", "cat", "[SEP]", "a", "dog", "[SEP]"]
    assert types == [0, 0, 0, 0, 1, 1, 1]
    with pytest.raises(TokenizerError, match="a pair has 3 special tokens; 3 leave no room"):
        open_tokenizer(tmp_path, 24, 3)
