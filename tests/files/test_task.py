"""Multiple-choice sets: what a prompt becomes, and one sentence for every rule broken."""

import json

import pytest

from refq.errors import FormatError
from refq.files.task import Item, read_task

GOOD = {"question": "Is it?", "choices": ["no", "yes"], "answer": 1}


def written(path, *lines):
    path.write_text(
        "\n".join(line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines),
        encoding="utf-8",
    )
    return path


def test_prompts(tmp_path):
    items = read_task(
        written(
            tmp_path / "set.jsonl",
            GOOD,
            {
                "context": " It\u2028rains. ",
                "choices": [" Good.", "Bad. "],
                "answer": 0,
                "kind": "weather",
                "other": [1],
            },
            "   ",
            GOOD | {"context": "It rains."},
            GOOD | {"context_options": ["A is", "B is"], "continuation": "wet."},
        )
    )
    assert items == [
        Item(["Question: Is it?\nAnswer:"], ["no", "yes"], 1, None),
        Item(["It\u2028rains."], ["Good.", "Bad."], 0, "weather"),
        Item(["It rains.\nQuestion: Is it?\nAnswer:"], ["no", "yes"], 1, None),
        Item(["A is", "B is"], ["wet.", "wet."], 1, None),
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 2: it is not valid JSON"),
        ('{"answer": 1, "answer": 0}', "line 2: it is not valid JSON: the key 'answer' appears twice"),
        ("[" * 100_000, "line 2: "),
        ("[1]", "line 2: it is a JSON list; an object is needed"),
        (" " * 2**20 + "{}", "line 2: it has 1048578 characters; at most 1048576 are read"),
        ({"question": "Is it?"}, "line 2: choices is None; a list of texts is needed"),
        (GOOD | {"choices": "no"}, "line 2: choices is 'no'; a list of texts is needed"),
        (GOOD | {"choices": ["no"]}, "line 2: choices has 1 entry; two or more are needed"),
        (GOOD | {"choices": ["no", 1]}, "line 2: choices[1] is 1; text that is not blank is needed"),
        (GOOD | {"choices": [" ", "no"]}, "line 2: choices[0] is ' '; text that is not blank is needed"),
        (GOOD | {"answer": 2}, "line 2: answer is 2; a place among the choices, 0..1, is needed"),
        (GOOD | {"answer": True}, "line 2: answer is True; a place among the choices, 0..1, is needed"),
        (GOOD | {"answer": "A"}, "line 2: answer is 'A'; a place among the choices, 0..1, is needed"),
        (GOOD | {"question": ""}, "line 2: question is ''; text that is not blank is needed"),
        (GOOD | {"kind": 3}, "line 2: kind is 3; text is needed"),
        (
            {"choices": ["a", "b"], "answer": 0},
            "line 2: neither question nor context is there; one of them or both are needed",
        ),
        (
            GOOD | {"context_options": ["A"], "continuation": "x"},
            "line 2: 1 context_options and 2 choices; as many are needed",
        ),
        (GOOD | {"context_options": ["A", "B"]}, "line 2: continuation is None; text that is not blank is needed"),
    ],
)
def test_refuses(tmp_path, line, words):
    path = written(tmp_path / "set.jsonl", GOOD, line)
    with pytest.raises(FormatError) as error:
        read_task(path)
    assert str(error.value).startswith(f"{path}: {words}")
    assert "\n" not in str(error.value)


def test_a_link_is_followed_anywhere(tmp_path):
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "link").symlink_to(written(tmp_path / "set.jsonl", GOOD))
    assert len(read_task(tmp_path / "inside" / "link")) == 1


def test_refuses_what_is_no_set(tmp_path):
    (tmp_path / "latin").write_bytes(b"caf\xe9")
    for name, words in (("latin", "byte 3 is not UTF-8"), ("empty", "it has no items"), ("missing", "is missing")):
        if name == "empty":
            (tmp_path / name).write_text("\n\n")
        with pytest.raises(FormatError, match=words):
            read_task(tmp_path / name)
