"""Laws of clip_gradients."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import test_global_norm
from tests.support import both


@st.composite
def arguments(draw):
    return draw(test_global_norm.arguments()) | {"max_norm": draw(st.sampled_from([1e-3, 0.5, 1.0, 3.0, 100.0]))}


def edges():
    for arguments in test_global_norm.edges():
        for most in (0.7, 1e6):
            yield arguments | {"max_norm": most}


def bound(arguments, expected):
    """That of the norm, and the other rounding of a factor that it may decide."""
    clipped, norm = expected
    return {name: np.abs(g) * 2.0**-23 for name, g in clipped.items()}, test_global_norm.bound(arguments, norm)


@both
@given(arguments())
def test_the_norm_of_the_result(engine, arguments):
    clipped, norm = engine.clip_gradients(**arguments)
    assert norm == engine.global_norm(arguments["gradients"])
    assert engine.global_norm(clipped) == pytest.approx(min(norm, arguments["max_norm"]), rel=1e-4, abs=2e-6)


@both
@given(arguments())
def test_a_small_norm_changes_nothing(engine, arguments):
    for most in (1000, np.inf):
        clipped, _ = engine.clip_gradients(arguments["gradients"], most)
        for name, g in arguments["gradients"].items():
            np.testing.assert_array_equal(clipped[name], g)


@both
@given(arguments())
def test_the_direction_stays(engine, arguments):
    clipped, norm = engine.clip_gradients(**arguments)
    assert list(clipped) == list(arguments["gradients"])
    factor = np.float32(min(1, arguments["max_norm"] / (norm + 1e-6)))
    for name, g in arguments["gradients"].items():
        assert clipped[name].dtype == g.dtype
        np.testing.assert_array_equal(clipped[name], g * factor)


@both
def test_the_array_is_named(engine):
    with pytest.raises(refq.errors.NonFiniteError, match=r"gradients\['q_proj'\]\[0\] is inf"):
        engine.clip_gradients({"q_proj": np.float32([np.inf])}, 1.0)


def _scaled(factor):
    def clip_gradients(gradients, max_norm):
        norm = refq.global_norm(gradients)
        with np.errstate(all="ignore"):
            return {name: g * g.dtype.type(factor(np.float64(norm), max_norm)) for name, g in gradients.items()}, norm

    return clip_gradients


def _one_by_one(gradients, max_norm):
    clipped = {name: refq.clip_gradients({name: g}, max_norm)[0][name] for name, g in gradients.items()}
    return clipped, refq.global_norm(gradients)


def _norm_after(gradients, max_norm):
    clipped, _ = refq.clip_gradients(gradients, max_norm)
    return clipped, refq.global_norm(clipped)


WRONG = {
    "one by one": _one_by_one,
    "up too": _scaled(lambda norm, most: most / (norm + 1e-6)),
    "1e-6 forgotten": _scaled(lambda norm, most: min(1, most / norm)),
    "only where the norm is above": _scaled(lambda norm, most: most / (norm + 1e-6) if norm > most else 1),
    "never": _scaled(lambda norm, most: 1),
    "the norm of the result": _norm_after,
    "values instead of norms": lambda gradients, max_norm: (
        {name: np.clip(g, -max_norm, max_norm).astype(g.dtype) for name, g in gradients.items()},
        refq.global_norm(gradients),
    ),
}
