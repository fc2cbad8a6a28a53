"""Laws of global_norm."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws.operations import tenths
from tests.support import both, shapes


@st.composite
def arguments(draw):
    names = draw(st.lists(st.sampled_from("abcdef"), max_size=4, unique=True))
    return {"gradients": {name: draw(tenths(draw(shapes()))) for name in names}}


def edges():
    random = np.random.default_rng(0)
    sizes = {"a": (3, 8191), "b": (8192,), "c": (8193,), "d": (), "e": (0, 3)}
    yield {"gradients": {name: np.asarray(random.standard_normal(size), np.float32) for name, size in sizes.items()}}


def bound(arguments, expected):
    """Sums of positive numbers in another order."""
    return sum(np.size(g) for g in arguments["gradients"].values()) * 2.0**-53 * expected


@both
@given(arguments())
def test_the_order_of_the_names_does_not_matter(engine, arguments):
    turned = dict(reversed(arguments["gradients"].items()))
    assert engine.global_norm(turned) == engine.global_norm(**arguments)


@both
@given(arguments())
def test_the_layout_does_not_matter(engine, arguments):
    turned = {name: np.asfortranarray(g) for name, g in arguments["gradients"].items()}
    assert engine.global_norm(turned) == engine.global_norm(**arguments)


@both
@given(arguments())
def test_twice_the_gradients_twice_the_norm(engine, arguments):
    twice = {name: g * 2 for name, g in arguments["gradients"].items()}
    assert engine.global_norm(twice) == 2 * engine.global_norm(**arguments)


@both
@given(arguments())
def test_it_is_the_norm_of_the_norms(engine, arguments):
    norms = [engine.global_norm({name: g}) for name, g in arguments["gradients"].items()]
    assert engine.global_norm(**arguments) == pytest.approx(math.hypot(*norms), rel=1e-12)


@both
def test_the_array_is_named(engine):
    with pytest.raises(refq.errors.NonFiniteError, match=r"gradients\['b'\]\[1\] is nan"):
        engine.global_norm({"a": np.float32([1]), "b": np.float32([1, np.nan])})


def _norms(gradients):
    return [float(np.sqrt(np.square(g, dtype=np.float64).sum())) for g in gradients.values()]


def _narrow(gradients):
    with np.errstate(over="ignore", under="ignore"):
        return float(np.sqrt(sum(np.float64(np.square(g).sum()) for g in gradients.values())))


WRONG = {
    "sum of the norms": lambda gradients: sum(_norms(gradients)),
    "largest norm": lambda gradients: max(_norms(gradients), default=0.0),
    "largest element": lambda gradients: max(
        (float(np.abs(g).max()) for g in gradients.values() if g.size), default=0.0
    ),
    "not rooted": lambda gradients: float(refq.global_norm(gradients) ** 2),
    "mean of the squares": lambda gradients: (
        refq.global_norm(gradients) / math.sqrt(max(1, sum(g.size for g in gradients.values())))
    ),
    "squares in float32": _narrow,
    "sum of the sizes": lambda gradients: float(sum(np.abs(g, dtype=np.float64).sum() for g in gradients.values())),
}
