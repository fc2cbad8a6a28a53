"""tools.golden add: what is wrong is said before anything is written."""

import json
import shutil

import pytest

from tools import golden as tool

CASE = {
    "id": "new",
    "spec": ["integer_range/full"],
    "flags": [],
    "comment": "three bits",
    "source": "oracle",
    "args": {"bits": 3, "signed": True},
}


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A copy of the golden folder to write into; gives a reader of the cases of a function."""
    shutil.copytree(tool.GOLDEN, tmp_path / "golden")
    monkeypatch.setattr(tool, "GOLDEN", tmp_path / "golden")
    return lambda function: json.loads((tmp_path / "golden" / "v1" / f"{function}.json").read_text())["cases"]


def envelope(function="integer_range", flags=None, **changes):
    return {"function": function, "cases": [CASE | changes], "flags": flags or {}}


def test_a_case_stands_before_the_example(files):
    tool.add(envelope())
    assert [case["id"] for case in files("integer_range")[-2:]] == ["new", "spec-example"]
    assert files("integer_range")[-2]["returns"] == [-4, 3]
    assert tool.lint() == []


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (envelope(spec=["integer_range/nonsense"]), "case new: rule integer_range/nonsense is not in SPEC.md"),
        (envelope(flags=None) | {"cases": [CASE | {"flags": ["NoSuch"]}]}, "case new: flag NoSuch has no note"),
        (envelope(id="spec-example"), "spec-example is taken; --replace"),
        (envelope() | {"cases": [CASE, CASE]}, "case id new is taken"),
        (envelope(function="no_such_function"), "write no_such_function(..) in tools/oracle/<room>.py"),
    ],
    ids=["rule", "flag", "taken", "twice", "oracle"],
)
def test_a_wrong_envelope_writes_nothing(files, wrong, text):
    before = {path: path.read_bytes() for path in tool.GOLDEN.rglob("*.json")}
    with pytest.raises(SystemExit) as stop:
        tool.add(wrong | {"flags": {"Fresh": "a note"}})
    assert text in str(stop.value)
    assert {path: path.read_bytes() for path in tool.GOLDEN.rglob("*.json")} == before


def test_an_envelope_brings_the_note_of_a_flag(files):
    tool.add({"function": "integer_range", "cases": [CASE | {"flags": ["Fresh"]}], "flags": {"Fresh": "a note"}})
    assert json.loads((tool.GOLDEN / "FLAGS.json").read_text())["Fresh"] == "a note"


def test_replace_puts_a_case_into_the_place_of_the_old_one(files, monkeypatch):
    ids = [case["id"] for case in files("integer_range")]
    tool.add(envelope(id=ids[1]), replace=True)
    assert [case["id"] for case in files("integer_range")] == ids
    assert files("integer_range")[1]["comment"] == "three bits"
    monkeypatch.setattr(tool, "VERSION", "1")
    with pytest.raises(SystemExit, match="no draft"):
        tool.add(envelope(id=ids[1]), replace=True)
