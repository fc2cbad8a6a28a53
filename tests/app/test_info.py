"""refq info: every fact a bug report needs, quickly, and without compiling anything."""

import json
import os
import subprocess
import sys

import numba
import numpy as np
import pytest
from click.testing import CliRunner

from refq import __version__
from refq.app import engine
from refq.app.main import main

KEYS = ["refq", "python", "platform", "cpu", "numpy", "blas", "numba", "llvmlite", "cpu_features", "kernel_path"]
KEYS += ["threads", "threading_layer", "cache_directory", "cache_bytes"]


def run(*args):
    return CliRunner().invoke(main, ["info", *args])


def test_facts():
    result = run("--json")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert list(facts) == KEYS
    assert (facts["refq"], facts["numpy"], facts["numba"]) == (__version__, np.__version__, numba.__version__)
    assert facts["python"] == sys.version.split()[0]
    assert 1 <= facts["threads"] <= numba.config.NUMBA_NUM_THREADS
    assert facts["threading_layer"] in ("omp", "tbb", "workqueue")
    assert facts["kernel_path"].endswith("-bit registers")


def test_one_line_a_fact():
    lines = run().stdout.splitlines()
    assert [line[:17].strip().replace(" ", "_") for line in lines] == KEYS


def test_compiles_nothing(tmp_path):
    program = """
import sys
from numba.core import event
class Compiled(event.Listener):
    def on_start(self, _): print("compiled", file=sys.stderr)
    def on_end(self, _): pass
event.register("numba:compile", Compiled())
from refq.app.main import main
main()
"""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", program, "info", "--json"]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert result.stderr == ""
    facts = json.loads(result.stdout)
    assert facts["cache_directory"].startswith(str(tmp_path))
    assert facts["cache_bytes"] == 0


def test_tells_that_the_fast_engine_does_not_load(monkeypatch):
    def broken():
        raise ImportError("llvmlite is broken")

    monkeypatch.setattr(engine, "about", broken)
    result = run("--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["refq_fast"] == "does not load: ImportError: llvmlite is broken"


@pytest.mark.skipif(not os.path.exists("/proc/cpuinfo"), reason="no /proc/cpuinfo on this system")
def test_names_the_processor():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        assert json.loads(run("--json").stdout)["cpu"] in file.read()
