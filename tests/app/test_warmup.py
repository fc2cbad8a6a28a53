"""refq warmup: after it, quantize and generate compile nothing."""

import json
import os

import ml_dtypes
import numba
import pytest

from refq.app import engine
from tests.app.commands import refq as run
from tests.app.commands import small, start

WATCHED = """
import sys
from numba.core import event
class Compiled(event.Listener):
    def on_start(self, e): print("compiled", e.data["dispatcher"], file=sys.stderr)
    def on_end(self, _): pass
event.register("numba:compile", Compiled())
from refq.app.main import main
main()
"""


@pytest.fixture(scope="module")
def report():
    found = run("warmup", "--json")
    assert found.exit_code == 0, found.stderr
    return json.loads(found.stdout)


def test_says_how_long_it_took_and_where_the_kernels_are(report):
    assert list(report["seconds"]) == ["quantize", "generate"]
    assert min(report["seconds"].values()) > 0
    assert report["cache_bytes"] > 0
    assert os.path.isdir(report["cache_directory"])


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_quantize_and_generate_compile_nothing_then(dtype, report, tmp_path):
    model = small(tmp_path / "model", getattr(ml_dtypes, dtype, dtype))
    options = {"python": ["-c", WATCHED], "env": {"NUMBA_CACHE_DIR": numba.config.CACHE_DIR}}
    arguments = (
        ("quantize", model, tmp_path / "out", "--group-size", 8),
        ("generate", tmp_path / "out", "--prompt", "a"),
    )
    for each in arguments:
        process = start(*each, **options)
        _, said = process.communicate()
        assert (process.returncode, "compiled" in said) == (0, False), said


def test_without_a_place_for_the_kernels_it_says_so(monkeypatch):
    about = engine.about() | {"cache_directory": None, "cache_bytes": 0}
    monkeypatch.setattr(engine, "about", lambda: about)
    assert "nothing is kept" in run("warmup").stdout


def test_all_goes_through_every_function(monkeypatch):
    monkeypatch.setattr("refq.jobs.golden.functions", lambda: ["quantize", "minmax"])
    found = run("warmup", "--all")
    assert found.exit_code == 0, found.stderr
    assert "4 parts in" in found.stdout
    assert found.stdout.count("\n") >= 6
