"""The examples in the docstrings of jobs and app are right."""

import doctest
import importlib
import pathlib

import pytest

import refq

FOLDER = pathlib.Path(refq.__file__).parent
MODULES = sorted(f"refq.{room}.{path.stem}" for room in ("jobs", "app") for path in (FOLDER / room).glob("[a-z]*.py"))
# what the report extra brings
EXTRA = {"refq.app.signal_page": "jinja2"}
PLOTS = ("signal_plots", "codebook_plot", "sensitivity_plot", "compare_plot", "heat_map")
EXTRA |= {f"refq.app.{name}": "matplotlib" for name in PLOTS}


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    if name in EXTRA:
        pytest.importorskip(EXTRA[name], reason=f"{EXTRA[name]} is not installed; pip install 'refq[report]'")
    assert doctest.testmod(importlib.import_module(name)).failed == 0
