"""The frame of the command line: verbs, exit codes, one sentence, a quiet end when the reader has gone."""

import errno
import subprocess
import sys
import time

import click
import pytest

from refq import errors
from refq.app.main import VERBS, explain, main
from tests.app.commands import ROOT, small, start
from tests.app.commands import refq as run
from tests.app.tiny import write_model


def test_help_lists_every_verb_and_every_verb_has_help():
    result = run("--help")
    assert result.exit_code == 0
    for verb, text in VERBS.items():
        assert verb in result.stdout
        assert text in result.stdout
        assert run(verb, "--help").exit_code == 0


@pytest.mark.parametrize("arguments", [(), ("nonsense",), ("--nonsense",), ("quantize",), ("quantize", "only-one")])
def test_usage(arguments):
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


def test_version():
    result = run("--version")
    assert (result.exit_code, result.stdout.startswith("refq, version ")) == (0, True)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UsageError("x"), 2),
        (errors.GroupSizeError("x"), 2),
        (click.BadParameter("x"), 2),
        (errors.CheckpointError("x"), 3),
        (errors.TokenizerError("x"), 3),
        (errors.FormatError("x"), 3),
        (errors.NonFiniteError("x"), 3),
        *((OSError(code, "x", "file"), 4) for code in (errno.ENOSPC, errno.EROFS, errno.EIO, errno.EDQUOT)),
        (OSError(errno.EFBIG, "x"), 4),
        (OSError(errno.ENOTCONN, "x"), 1),
        (errors.GridError("x"), 1),
        (MemoryError("x"), 1),
        (ZeroDivisionError("x"), 1),
    ],
)
def test_every_error_has_its_exit_code_and_one_sentence(error, code):
    sentence, found = explain(error)
    assert found == code
    assert "x" in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt, 130), (SystemExit(143), 143), (ValueError("x"), 1)])
def test_what_a_verb_raises_becomes_an_exit_code(error, code, monkeypatch):
    def verb():
        raise error

    monkeypatch.setattr("refq.app.main.Verbs.get_command", lambda *_: click.Command("quantize", callback=verb))
    result = run("quantize")
    assert result.exit_code == code
    assert "Traceback" not in result.stderr


LOST = """
import ctypes, os, signal, time
import click
from refq.app.main import Verbs, main

def verb():
    ctypes.CFUNCTYPE(None)(lambda: os.kill(os.getpid(), signal.{name}))()
    time.sleep(20)

Verbs.get_command = lambda *_: click.Command("quantize", callback=verb)
main(["quantize"])
"""


@pytest.mark.parametrize(
    ("name", "code", "text"), [("SIGINT", 130, "refq: interrupted\n"), ("SIGTERM", 143, "")], ids=["INT", "TERM"]
)
def test_an_interrupt_inside_a_callback_of_the_compiler_is_not_lost(name, code, text):
    process = start(python=["-c", LOST.format(name=name)])
    began = time.monotonic()
    _, said = process.communicate()
    assert (process.returncode, said) == (code, text)
    assert time.monotonic() - began < 10  # not the 20 seconds that it would sleep


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)], ids=["INT", "TERM"])
def test_what_a_lost_interrupt_breaks_is_no_error(name, code):
    process = start(python=["-c", LOST.format(name=name).replace("time.sleep(20)", "raise RuntimeError('broken')")])
    _, said = process.communicate()
    assert process.returncode == code
    assert "broken" not in said


@pytest.mark.parametrize("verb", ["inspect", "generate", "quantize"])
def test_a_reader_that_has_gone(verb, tmp_path):
    if verb == "inspect":
        arguments = (small(tmp_path / "model", num_hidden_layers=300),)
    else:
        write_model(tmp_path / "model")
        arguments = (tmp_path / "model", *([tmp_path / "out"] if verb == "quantize" else []), "--engine", "reference")
    process = start(verb, *arguments)
    if verb == "inspect":
        process.stdout.readline()
    process.stdout.close()
    with process.stderr as said:
        assert said.read() == ""
    assert process.wait() == 0


def test_python_m():
    done = subprocess.run([sys.executable, "-m", "refq", "--version"], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.startswith("refq, version")


def test_the_group_is_the_entry_point():
    assert isinstance(main, click.Group)
