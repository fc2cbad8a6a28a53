"""One namespace: refq.__all__ is the registry, refq_fast has the same names and signatures, each is documented."""

import doctest
import inspect

import numpy as np
import pytest

import refq
import refq_fast
from refq.jobs import golden
from tests.support import law

NAMES = refq.__all__


def test_the_fast_package_offers_exactly_the_same_names():
    assert list(refq_fast.__all__) == list(NAMES)
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_same_signature(name):
    assert inspect.signature(getattr(refq_fast, name)) == inspect.signature(getattr(refq, name))


@pytest.mark.parametrize("name", NAMES)
def test_docstring(name):
    text = inspect.getdoc(getattr(refq, name))
    assert text, f"{name} has no docstring"
    assert text.splitlines()[0].endswith((".", ":")), "the first line is a sentence"
    assert ">>> " in text, "an example that can be checked in the head"
    assert "Source: " in text
    assert text.splitlines()[-1] == f"Spec: {name}"
    for parameter in inspect.signature(getattr(refq, name)).parameters:
        assert parameter in text, f"{parameter} is not described"


@pytest.mark.parametrize("name", NAMES)
def test_the_example_is_right(name):
    function = getattr(refq, name)
    names = vars(inspect.getmodule(function)) | {"np": np, "refq": refq} | {n: getattr(refq, n) for n in NAMES}
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    for test in doctest.DocTestFinder(recurse=False).find(function, name, globs=names):
        runner.run(test)
    assert runner.tries > 0
    assert runner.failures == 0


@pytest.mark.parametrize("name", [n for n in NAMES if getattr(refq_fast, n) is not getattr(refq, n)])
def test_twin_docstring(name):
    text = inspect.getdoc(getattr(refq_fast, name))
    assert text.splitlines()[0] == f"Twin of refq.{name}."
    assert f"Spec: {name}" in text.splitlines()


@pytest.mark.parametrize("name", NAMES)
def test_every_function_has_its_places(name):
    assert name in golden.functions(), f"write golden/v1/{name}.json with python -m tools.golden add"
    module = law(name)
    assert module, f"write tests/laws/test_{name}.py"
    assert hasattr(module, "arguments"), f"tests/laws/test_{name}.py needs `arguments`, a strategy of valid calls"
    assert isinstance(module.WRONG, dict), f"tests/laws/test_{name}.py needs WRONG, the mistakes people make"


def test_every_golden_file_has_a_function():
    assert set(golden.functions()) <= set(NAMES)
