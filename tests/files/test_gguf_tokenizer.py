"""tokenizer.json to the keys of a GGUF file and back: the same tokens."""

import json
import os
import pathlib

import pytest
from tokenizers import Tokenizer

from refq.errors import TokenizerError
from refq.files.gguf_tokenizer import tokenizer_json
from refq.files.gguf_types import Value
from refq.files.gguf_vocabulary import recognise, tokenizer_metadata
from refq.files.gguf_words import SAME, WHOLE, WORDS
from tests.files.gguf_files import WORLD, spm

TEXTS = ["", " ", "  two  spaces ", "Once upon a time, there was a girl.", "line\nline\n\n\tend"]
TEXTS += ["na\u00efve \u4f60\u597d \U0001f600", "don't 1234567 x=y;", "</s> <s>", "\u2581", "ab abc a  b"]


def ids(raw):
    tokenizer = Tokenizer.from_str(json.dumps(raw))
    return [tokenizer.encode(text).ids for text in TEXTS]


def there_and_back(raw, size):
    metadata = tokenizer_metadata(raw, size)
    around = {"bos": 1, "eos": 2} if metadata["tokenizer.ggml.model"].value == "llama" else {"bos": 0, "eos": 1}
    return metadata, tokenizer_json(metadata | _ids(around), "x.gguf")


def _ids(around):
    return {f"tokenizer.ggml.{kind}_token_id": Value("u32", number) for kind, number in around.items()}


def test_the_packaged_model():
    raw = json.loads((WORLD / "tokenizer.json").read_text())
    metadata, back = there_and_back(raw, 1024)
    assert metadata["tokenizer.ggml.pre"].value == "gpt-2"
    assert ids(back) == ids(raw)


@pytest.mark.parametrize("model", ["stories260K", "llama-tokenizer-32k"])
def test_real_vocabularies(model):
    folder = os.environ.get("REFQ_TEST_DATA")
    if not folder:
        pytest.skip("REFQ_TEST_DATA is not set")
    raw = json.loads((pathlib.Path(folder) / "models" / model / "tokenizer.json").read_text())
    metadata, back = there_and_back(raw, 32000 if "32k" in model else 512)
    assert ids(back) == ids(raw)
    scores = metadata["tokenizer.ggml.scores"].value
    assert scores[:259] == [0.0] * 259
    assert scores[261] == -2.0


def test_a_token_that_the_file_lacks_is_unused():
    metadata = tokenizer_metadata(spm(), 270)
    assert metadata["tokenizer.ggml.tokens"].value[267:] == ["[PAD267]", "[PAD268]", "[PAD269]"]
    assert metadata["tokenizer.ggml.token_type"].value[266:] == [1, 5, 5, 5]


def test_merges_that_no_score_can_say():
    raw = spm()
    raw["model"]["merges"] = raw["model"]["merges"][:-1]
    with pytest.raises(TokenizerError, match="scores cannot say them"):
        tokenizer_metadata(raw, 267)


def test_scores_of_another_order():
    raw = spm()
    raw["model"]["merges"] = [("\u2581", "a"), ("a", "b"), ("\u2581", "ab"), ("\u2581a", "b"), ("ab", "c")]
    metadata, back = there_and_back(raw, 267)
    assert ids(back) == ids(raw)
    assert metadata["tokenizer.ggml.scores"].value[262:264] == [-1.0, 0.0]


@pytest.mark.parametrize("name", WORDS)
def test_words_are_recognised(name):
    assert recognise(json.loads(json.dumps(WORDS[name]))) == name


@pytest.mark.parametrize("name", SAME)
def test_every_name_of_the_same_words_is_read(name):
    raw = json.loads((WORLD / "tokenizer.json").read_text())
    metadata = tokenizer_metadata(raw, 1024, name)
    read = tokenizer_json(metadata | _ids({"bos": 0}), "x.gguf")
    assert recognise(read["pre_tokenizer"]) == SAME[name]
    assert read["model"]["ignore_merges"] == (name in WHOLE)


def test_an_unknown_name_of_words_is_refused():
    metadata = tokenizer_metadata(json.loads((WORLD / "tokenizer.json").read_text()), 1024, "falcon")
    with pytest.raises(TokenizerError, match="tokenizer.ggml.pre is 'falcon'; gpt-2, llama-bpe"):
        tokenizer_json(metadata, "x.gguf")


def test_words_that_are_not_recognised():
    with pytest.raises(TokenizerError, match="--gguf-pre"):
        recognise({"type": "Whitespace"})


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda raw: raw.pop("model"), "BPE is needed"),
        (lambda raw: raw["model"].update(type="Unigram"), "BPE is needed"),
        (lambda raw: raw["model"]["vocab"].update(x=300), "0..266 are due"),
        (lambda raw: raw.update(normalizer={"type": "NFC"}), "Llama's is needed"),
        (lambda raw: raw.update(pre_tokenizer={"type": "Whitespace"}), "Llama's is needed"),
    ],
)
def test_what_no_gguf_can_say(change, fault):
    raw = spm()
    change(raw)
    with pytest.raises(TokenizerError, match=fault):
        tokenizer_metadata(raw, 267)
