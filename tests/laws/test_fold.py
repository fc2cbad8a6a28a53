"""Laws of fold."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws.operations import tenths
from tests.support import both


@st.composite
def arguments(draw):
    n, inputs = draw(st.integers(1, 5)), draw(st.integers(1, 3))

    def layer(*shape):
        found = {"weight": draw(tenths(shape))}
        return found | {"bias": draw(tenths(shape[:1]))} if draw(st.booleans()) else found

    scale = draw(st.lists(st.sampled_from([0.25, 1.0, -2.0, 0.3, 7.0]), min_size=n, max_size=n))
    return {
        "previous": layer(n) if draw(st.booleans()) else layer(n, inputs),
        "following": [layer(draw(st.integers(1, 3)), n) for _ in range(draw(st.integers(0, 2)))],
        "scale": np.array(scale, np.float32),
        "shift": draw(st.none() | tenths((n,))),
    }


def _wide(value):
    if isinstance(value, dict):
        return {name: _wide(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_wide(part) for part in value]
    return value if value is None else value.astype(np.float64)


def _channels(layer, tokens):
    """What a norm or a linear layer gives for some inputs."""
    w = layer["weight"]
    x = tokens[:, : len(w)] * w if w.ndim == 1 else tokens[:, : w.shape[1]] @ w.T
    return x + layer.get("bias", 0)


@both
@given(arguments())
def test_what_follows_gives_the_same(engine, arguments):
    arguments = _wide(arguments)
    tokens = np.random.default_rng(0).standard_normal((3, 5))
    previous, following = engine.fold(**arguments)
    before, after = _channels(arguments["previous"], tokens), _channels(previous, tokens)
    shift = 0 if arguments["shift"] is None else arguments["shift"]
    np.testing.assert_allclose(after, (before - shift) / arguments["scale"], atol=1e-12)
    for old, new in zip(arguments["following"], following, strict=True):
        expected = before @ old["weight"].T + old.get("bias", 0)
        np.testing.assert_allclose(after @ new["weight"].T + new.get("bias", 0), expected, atol=1e-12)


@both
@given(arguments())
def test_the_form_stays(engine, arguments):
    previous, following = engine.fold(**arguments)
    biases = set() if arguments["shift"] is None else {"bias"}
    assert set(previous) == set(arguments["previous"]) | biases
    for old, new in zip(arguments["following"], following, strict=True):
        assert set(new) == set(old) | biases
        assert all(part.dtype == np.float32 and part.shape[:1] == old["weight"].shape[:1] for part in new.values())


@both
@given(arguments(), st.sampled_from([0.5, 8.0]))
def test_powers_of_two_come_back(engine, arguments, factor):
    scale = np.full_like(arguments["scale"], factor)
    previous, following = engine.fold(arguments["previous"], arguments["following"], scale)
    again = engine.fold(previous, following, 1 / scale)
    np.testing.assert_equal(again, (arguments["previous"], arguments["following"]))


@both
@given(arguments())
def test_a_scale_of_1_changes_nothing(engine, arguments):
    ones = np.ones_like(arguments["scale"])
    found = engine.fold(arguments["previous"], arguments["following"], ones)
    np.testing.assert_equal(found, (arguments["previous"], arguments["following"]))


def _wrong(previous=lambda layer, scale, shift: layer, following=lambda layer, scale, shift: layer):
    """The right result, and then changes of it: previous and following get the old layer's function too."""

    def fold(**arguments):
        before, after = refq.fold(**arguments)
        scale, shift = arguments["scale"], arguments["shift"]
        old = zip(after, arguments["following"], strict=True)
        return (
            before | previous(arguments["previous"], scale, shift),
            [layer | following(was, scale, shift) for layer, was in old],
        )

    return fold


def _multiplied(layer, scale, shift):
    return {"weight": (layer["weight"].T * scale).T}


def _divided(layer, scale, shift):
    return {"weight": layer["weight"] / scale}


def _bias_first(layer, scale, shift):
    return {} if shift is None else {"bias": layer.get("bias", np.zeros_like(scale)) / scale - shift}


def _moved_after(layer, scale, shift):
    return {} if shift is None else {"bias": layer.get("bias", 0) + layer["weight"] * scale @ shift}


def _moved_away(layer, scale, shift):
    return {} if shift is None else {"bias": layer.get("bias", 0) - layer["weight"] @ shift}


def _columns(layer, scale, shift):
    w = layer["weight"]
    return {"weight": w / scale} if w.ndim == 2 and w.shape[1] == len(scale) else {}


def _kept_bias(layer, scale, shift):
    return {"bias": layer["bias"]} if shift is None and "bias" in layer else {}


def _without_new_biases(**arguments):
    before, after = refq.fold(**arguments)
    if "bias" not in arguments["previous"]:
        before.pop("bias", None)
    return before, after


WRONG = {
    "previous multiplied": _wrong(previous=_multiplied),
    "following divided": _wrong(following=_divided),
    "times the reciprocal": _wrong(previous=lambda layer, s, z: {"weight": (layer["weight"].T * (1 / s)).T}),
    "columns of the layer before": _wrong(previous=_columns),
    "its bias not divided": _wrong(previous=_kept_bias),
    "shifted after the division": _wrong(previous=_bias_first),
    "moved with the new weight": _wrong(following=_moved_after),
    "moved the other way": _wrong(following=_moved_away),
    "the first that follows alone": lambda **a: (lambda b, f: (b, f[:1] + a["following"][1:]))(*refq.fold(**a)),
    "no bias where there was none": _without_new_biases,
}
