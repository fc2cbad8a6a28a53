"""Fixtures and the Hypothesis profile: derandomised, so that a run can be repeated."""

import os
import pathlib
import signal

import pytest
from hypothesis import HealthCheck, settings

import refq
from refq.jobs.gguf_write import write_gguf
from tests.files.gguf_files import WORLD

settings.register_profile(
    "refq", derandomize=True, deadline=None, max_examples=60, suppress_health_check=list(HealthCheck), print_blob=True
)
settings.register_profile("thorough", parent=settings.get_profile("refq"), derandomize=False, max_examples=400)
settings.load_profile(os.environ.get("REFQ_HYPOTHESIS", "refq"))
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what runs in the background; children inherit
    signal.signal(signal.SIGINT, signal.default_int_handler)
DATA = (
    "models/stories260K",
    "models/llama-tokenizer-32k",
    "text/tinystories/valid.txt",
    "text/wikitext-2/valid.txt",
    "commonsense",
)


@pytest.fixture(scope="session")
def data():
    """The folder of real models and texts named by REFQ_TEST_DATA."""
    folder = os.environ.get("REFQ_TEST_DATA")
    if not folder:
        pytest.skip("REFQ_TEST_DATA is not set: no real model to test on")
    missing = [name for name in DATA if not (pathlib.Path(folder) / name).exists()]
    if missing:
        pytest.fail(f"REFQ_TEST_DATA={folder} has no {', '.join(missing)}; see CONTRIBUTING.md for what belongs there")
    return pathlib.Path(folder)


@pytest.fixture(scope="session")
def plain(tmp_path_factory):
    """The model of the package as a GGUF file of floats."""
    path = tmp_path_factory.mktemp("plain") / "f32.gguf"
    write_gguf(WORLD, path, refq, "f32")
    return path
