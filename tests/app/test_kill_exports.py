"""Exports and imports of every format, killed twice and resumed: the same bytes as in one go, nothing done twice."""

import errno
import hashlib
import json
import os
import signal

import pytest

from refq.jobs import shards, spans
from refq.jobs.formats import DIRECTORIES
from tests.app.commands import digests, start
from tests.app.commands import refq as run
from tests.app.test_kill import KILLER, failing, number_of_calls, raising
from tests.app.tiny import write_model

REFERENCE = ("--engine", "reference")
FORMATS = [*DIRECTORIES, "gguf"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """`float`; `sym`, of 4 bits in groups of 32; and `sym` in every format, by its name."""
    found = tmp_path_factory.mktemp("exports")
    write_model(found / "float")
    assert run("quantize", found / "float", found / "sym", *REFERENCE).exit_code == 0
    for name in FORMATS:
        done = run(*export_to(name, found, found / written(name)))
        assert done.exit_code == 0, done.stderr
    return found


def written(name):
    return "it.gguf" if name == "gguf" else name


def export_to(name, folder, out):
    kind = ("--type", "q4_0", "--gguf-pre", "gpt-2") if name == "gguf" else ()
    return ("export", folder / "sym", out, "--to", name, *kind, *REFERENCE)


def digest(out):
    return digests(out) if out.is_dir() else hashlib.sha256(out.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", FORMATS)
def test_an_export(name, folder, tmp_path, monkeypatch):
    check(export_to(name, folder, tmp_path / "out"), tmp_path, digest(folder / written(name)), monkeypatch)


@pytest.mark.parametrize("name", FORMATS)
def test_an_import(name, folder, tmp_path, monkeypatch):
    command = ("import", folder / written(name), tmp_path / "out", *REFERENCE)
    assert run("import", folder / written(name), tmp_path / "whole", *REFERENCE).exit_code == 0
    whole = digest(tmp_path / "whole")
    for path in (tmp_path / "whole").iterdir():
        path.unlink()
    (tmp_path / "whole").rmdir()
    check(command, tmp_path, whole, monkeypatch)


@pytest.mark.parametrize("verb", ["export", "import"])
def test_a_disk_that_refuses_a_call(verb, folder, tmp_path, monkeypatch):
    """A GGUF file, or a directory from one: whole or absent, and what was there stays until the end."""

    def command(out):
        return export_to("gguf", folder, out) if verb == "export" else ("import", folder / "it.gguf", out, *REFERENCE)

    total = number_of_calls(monkeypatch, *command(tmp_path / "whole"))
    whole = digest(tmp_path / "whole")
    assert run(*command(tmp_path / "old")).exit_code == 0
    marked = tmp_path / "old" if verb == "export" else tmp_path / "old" / "config.json"
    marked.write_bytes(marked.read_bytes() + b" ")
    old = digest(tmp_path / "old")
    for number in (1, 2, 3, total // 2, *range(total - 6, total + 1)):
        for out, more in (("out", ()), ("old", ("--overwrite",))):
            with monkeypatch.context() as patch:
                failing(patch, number, raising(errno.ENOSPC))
                result = run(*command(tmp_path / out), *more)
            assert result.exit_code == 4, (number, out, result.output)
            assert "No space left on device" in result.stderr.splitlines()[-1]
        assert not (tmp_path / "out").exists() or digest(tmp_path / "out") == whole
        if (tmp_path / "out").exists():  # only the last call, of the parent directory, comes after the rename
            assert number == total
        assert run(*command(tmp_path / "out"), "--resume").exit_code == 0
        assert digest(tmp_path / "out") == whole
        os.rename(tmp_path / "out", tmp_path / f"done{number}")
        assert digest(tmp_path / "old") in (old, whole)
    assert run(*command(tmp_path / "old"), "--overwrite").exit_code == 0
    assert digest(tmp_path / "old") == whole


def check(command, folder, whole, monkeypatch):
    """Kill the command in the middle, kill what continues it, let it end; then it is complete."""
    out = folder / "out"
    total = number_of_calls(monkeypatch, *command)
    assert digest(out) == whole
    os.rename(out, folder / "apart")
    for number, more in ((total // 2, ()), (total // 4, ("--resume",))):
        process = start(number, *command, *more, python=["-c", KILLER])
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert not out.exists()
    kept = len((folder / ".out.partial" / "journal").read_text().splitlines()) - 1
    assert kept > 3
    tensors = []
    plain = spans.write_spans
    with monkeypatch.context() as patch:
        for module in (spans, shards):
            patch.setattr(module, "write_spans", lambda *args: tensors.append(args[1]) or plain(*args))
        found = run(*command, "--resume", "--json")
    assert found.exit_code == 0, found.stderr
    assert json.loads(found.stdout)["written"] is True
    assert digest(out) == whole
    assert kept <= 21 - len(tensors)
    assert sorted(os.listdir(folder)) == ["apart", "out"]
    found = json.loads(run(*command, "--resume", "--json").stdout)
    assert found["written"] is False
    assert found["codes"] > 0
