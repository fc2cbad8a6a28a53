"""Progress: a bar on a terminal, plain lines elsewhere, nothing on stdout."""

import io
import sys

import pytest

from refq.jobs import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_what_is_told(stream, monkeypatch, capsys):
    monkeypatch.setattr(progress, "SECONDS", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stream())
        with progress.progress(2000, "B", "checking") as advance:
            advance(500)
            advance(1500)
        told = sys.stderr.getvalue()
    assert "checking" in told
    if stream is io.StringIO:
        assert "500 B of 2.00 kB (25%)" in told
        assert told.count("\n") == 2
    assert capsys.readouterr().out == ""


def test_a_short_job_says_nothing(capsys):
    with progress.progress(10, "tokens", "scoring") as advance:
        advance(10)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (99_960, "100.0 kB"), (2.2e12, "2200 GB")]
)
def test_sizes(number, text):
    assert progress.size(number) == text
