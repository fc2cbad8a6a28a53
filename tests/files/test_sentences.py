"""Sets of sentences: what is read, and one sentence for every rule broken."""

import pytest

from refq.errors import FormatError
from refq.files.sentences import Sentences, read_sentences
from tests.files.test_task import written

ONE = {"sentence": " Good. ", "label": 1, "other": [1]}
PAIR = {"sentence1": "A cat.", "sentence2": "A dog."}


def test_what_is_read(tmp_path):
    path = tmp_path / "set.jsonl"
    assert read_sentences(written(path, ONE, "  ", ONE | {"label": 0})) == Sentences(
        "classification", ["Good.", "Good."], [1, 0]
    )
    assert read_sentences(written(path, PAIR | {"label": 2})) == Sentences(
        "classification", [("A cat.", "A dog.")], [2]
    )
    found = read_sentences(written(path, PAIR | {"score": 4.25}, PAIR | {"score": 0}))
    assert found == Sentences("similarity", [("A cat.", "A dog.")] * 2, [4.25, 0.0])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 2: it is not valid JSON"),
        (PAIR | {"label": 1}, "line 2: it has sentence1, sentence2, label; the items before have sentence, label"),
        (ONE | {"sentence": " "}, "line 2: sentence is ' '; text that is not blank is needed"),
        (ONE | {"label": -1}, "line 2: label is -1; a whole number from 0 to 999 is needed"),
        (ONE | {"label": True}, "line 2: label is True; a whole number"),
        (ONE | {"label": 1.0}, "line 2: label is 1.0; a whole number"),
    ],
)
def test_refused(line, words, tmp_path):
    path = written(tmp_path / "set.jsonl", ONE, line)
    with pytest.raises(FormatError) as found:
        read_sentences(path)
    assert f"{path}: {words}" in str(found.value)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({"text": "a"}, "line 1: it has none of the keys; sentence and label, or sentence1, sentence2 and label or"),
        ({"sentence": "a", "score": 1}, "line 1: it has sentence, score; sentence and label"),
        (PAIR | {"label": 1, "score": 1}, "line 1: it has sentence1, sentence2, label, score; sentence and label"),
        (PAIR | {"score": 5.1}, "line 1: score is 5.1; a number from 0 to 5 is needed"),
        (PAIR | {"score": "3"}, "line 1: score is '3'; a number from 0 to 5 is needed"),
        (PAIR | {"score": True}, "line 1: score is True; a number from 0 to 5 is needed"),
    ],
)
def test_refused_at_once(line, words, tmp_path):
    with pytest.raises(FormatError) as found:
        read_sentences(written(tmp_path / "set.jsonl", line))
    assert words in str(found.value)


def test_glue(data):
    folder = data / "glue"
    if not folder.exists():
        pytest.skip("REFQ_TEST_DATA has no glue")
    sizes = {path.parent.name + path.stem: len(read_sentences(path).texts) for path in folder.glob("*/*.jsonl")}
    assert sizes == {"sst2dev": 872, "sst2train": 6735, "stsbdev": 1500, "stsbtrain": 5749}
