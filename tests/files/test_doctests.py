"""The examples in the docstrings of refq.files."""

import doctest
import importlib
import pkgutil

import pytest

import refq.files


@pytest.mark.parametrize("name", [module.name for module in pkgutil.iter_modules(refq.files.__path__)])
def test_examples(name):
    assert doctest.testmod(importlib.import_module(f"refq.files.{name}")).failed == 0
