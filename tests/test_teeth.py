"""Can the golden files fail? Each must reject the mistakes its law file lists, all zeros, and one that only raises."""

import numpy as np
import pytest

import refq
from refq.errors import RefqError
from refq.jobs import golden
from tests.support import law

WRONG = [(name, wrong) for name in refq.__all__ if law(name) for wrong in law(name).WRONG]


def rejected(name, function):
    return any(golden.run(case, function) for case in golden.load(name))


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
    assert not rejected(name, getattr(refq, name))


def _zero_like(value):
    if isinstance(value, (tuple, list)):
        return tuple(_zero_like(v) for v in value)
    if isinstance(value, dict):
        return {k: _zero_like(v) for k, v in value.items()}
    return np.zeros_like(value) if isinstance(value, np.ndarray) else type(value)(0)
