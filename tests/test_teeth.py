"""Can the golden files fail? Each must reject the mistakes its law file lists, all zeros, and one that only raises."""

import numpy as np
import pytest

import refq
from refq.errors import RefqError
from refq.jobs import golden
from tests.support import law

WRONG = [(name, wrong) for name in refq.__all__ if law(name) for wrong in law(name).WRONG]


def rejections(name, function):
    """The golden cases that reject a function, and why."""
    found = ((case, golden.run(case, function)) for case in golden.load(name))
    return (f"golden/v1/{name}.json, case {case['id']} ({case['comment']}): {fault}" for case, fault in found if fault)


def rejected(name, function):
    return any(rejections(name, function))


@pytest.mark.parametrize(("name", "wrong"), WRONG)
def test_a_listed_mistake_is_rejected(name, wrong):
    assert rejected(name, law(name).WRONG[wrong]), f"golden/v1/{name}.json does not notice: {wrong}"


@pytest.mark.parametrize("name", golden.functions())
def test_always_zero_is_rejected(name):
    def zero(**arguments):
        return _zero_like(getattr(refq, name)(**arguments))

    assert rejected(name, zero)


@pytest.mark.parametrize("name", golden.functions())
def test_always_raise_is_rejected(name):
    def refuse(**arguments):
        raise RefqError("no")

    assert rejected(name, refuse)


@pytest.mark.parametrize("name", golden.functions())
def test_the_right_one_is_not_rejected(name):
    assert list(rejections(name, getattr(refq, name))) == []


def test_a_rejection_names_its_case():
    found = next(rejections("quantize", lambda **_: None))
    assert found.startswith("golden/v1/quantize.json, case ties-to-even (halves go to the even neighbour): gave")


def _zero_like(value):
    if isinstance(value, (tuple, list)):
        return tuple(_zero_like(v) for v in value)
    if isinstance(value, dict):
        return {k: _zero_like(v) for k, v in value.items()}
    return np.zeros_like(value) if isinstance(value, np.ndarray) else type(value)(0)
