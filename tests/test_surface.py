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
LAWS = 3  # at least, of each function


def test_the_fast_package_offers_exactly_the_same_names():
    assert list(refq_fast.__all__) == list(NAMES)
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_same_signature(name):
    assert inspect.signature(getattr(refq_fast, name)) == inspect.signature(getattr(refq, name))


@pytest.mark.parametrize("name", NAMES)
def test_docstring(name):
    assert docstring_faults(name, getattr(refq, name)) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (None, "needs a docstring"),
        ("No end", "needs a first line that is a sentence"),
        ("Codes.", "needs a doctest, >>> f(..), that can be checked in the head"),
        ("Codes.", "needs a Source: line: the paper, the program that was read, or: our choice"),
        ("Codes.", "needs `Spec: f` as its last line"),
        ("Codes.", "needs a line about the parameter bits"),
    ],
)
def test_a_docstring_that_lacks_something_is_told_what(text, fault):
    def f(bits, signed):
        pass

    f.__doc__ = text
    assert any(f"the docstring of f {fault}" in found for found in docstring_faults("f", f))


def docstring_faults(name, function):
    """What the docstring of a public function lacks, a sentence each."""
    text = inspect.getdoc(function) or ""
    lines = text.splitlines() or [""]
    due = {
        "a docstring": text,
        "a first line that is a sentence, up to a full stop or a colon": lines[0].endswith((".", ":")),
        f"a doctest, >>> {name}(..), that can be checked in the head": ">>> " in text,
        "a Source: line: the paper, the program that was read, or: our choice": "Source: " in text,
        f"`Spec: {name}` as its last line": lines[-1] == f"Spec: {name}",
    }
    due |= {f"a line about the parameter {p}": p in text for p in inspect.signature(function).parameters}
    return [f"the docstring of {name} needs {what}" for what, there in due.items() if not there]


@pytest.mark.parametrize("name", NAMES)
def test_the_example_is_right(name):
    function = getattr(refq, name)
    names = vars(inspect.getmodule(function)) | {"np": np, "refq": refq} | {n: getattr(refq, n) for n in NAMES}
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    for test in doctest.DocTestFinder(recurse=False).find(function, name, globs=names):
        runner.run(test)
    assert runner.tries > 0, f"the docstring of {name} needs a doctest, >>> {name}(..)"
    assert runner.failures == 0, f"the example in the docstring of {name} gives something else; see the output"


@pytest.mark.parametrize("name", [n for n in NAMES if getattr(refq_fast, n) is not getattr(refq, n)])
def test_twin_docstring(name):
    text = inspect.getdoc(getattr(refq_fast, name))
    assert text, f"refq_fast.{name} needs a docstring"
    first = f"Twin of refq.{name}."
    assert text.splitlines()[0] == first, f"the docstring of refq_fast.{name} needs the first line: {first}"
    assert f"Spec: {name}" in text.splitlines(), f"the docstring of refq_fast.{name} needs a line: Spec: {name}"


@pytest.mark.parametrize("name", NAMES)
def test_every_function_has_its_places(name):
    assert name in golden.functions(), f"write golden/v1/{name}.json with python -m tools.golden add"
    module = law(name)
    assert module, f"write tests/laws/test_{name}.py"
    assert hasattr(module, "arguments"), f"tests/laws/test_{name}.py needs `arguments`, a strategy of valid calls"
    assert isinstance(module.WRONG, dict), f"tests/laws/test_{name}.py needs WRONG, the mistakes people make"
    laws = [law for law in vars(module) if law.startswith("test_")]
    assert len(laws) >= LAWS, f"tests/laws/test_{name}.py has {len(laws)} laws; three to six are due"


def test_every_golden_file_has_a_function():
    assert set(golden.functions()) <= set(NAMES)
