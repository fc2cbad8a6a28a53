"""Laws of awq_clip."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws.operations import normal, tenths
from tests.support import both

FACTORS = [np.float32(1 - i / 20) for i in range(10)]


@st.composite
def arguments(draw):
    size, n = draw(st.sampled_from([1, 2, 4])), draw(st.integers(1, 3))
    return {
        "x": draw(tenths((draw(st.integers(1, 4)), n * size))),
        "w": draw(tenths((draw(st.integers(1, 3)), n * size))),
        "bits": draw(st.sampled_from([2, 3, 4, 8])),
        "group_size": size,
        "symmetric": draw(st.booleans()),
    }


def edges():
    for tokens, rows, size, n in ((1, 1, 1, 1), (5, 3, 16, 3), (40, 33, 32, 2), (64, 130, 128, 1)):
        yield {
            "x": normal(1, tokens, size * n),
            "w": normal(2, rows, size * n),
            "bits": 2 + rows % 4,
            "group_size": size,
            "symmetric": rows % 2 == 0,
        }


def _errors(x, w, limit, bits, group_size, symmetric):
    """Squared errors of what each group adds to the output, (out, groups)."""
    groups = refq.to_groups(w, group_size)
    clipped = np.clip(groups, -limit[..., None], limit[..., None])
    e = refq.fake_quantize(clipped, *refq.awq_range(clipped, bits, symmetric)).astype(np.float64) - groups
    return (np.einsum("tgi,ogi->tog", refq.to_groups(x, group_size).astype(np.float64), e) ** 2).sum(axis=0)


@both
@given(arguments())
def test_one_of_ten(engine, arguments):
    largest = np.abs(refq.to_groups(arguments["w"], arguments["group_size"])).max(axis=-1)
    limit = engine.awq_clip(**arguments)
    assert limit.dtype == np.float32
    assert np.isin(limit, np.stack([largest * f for f in FACTORS])).all()


@both
@given(arguments())
def test_no_other_has_a_smaller_error(engine, arguments):
    x, w, *rest = arguments.values()
    largest = np.abs(refq.to_groups(w, arguments["group_size"])).max(axis=-1)
    least = _errors(x, w, engine.awq_clip(**arguments), *rest)
    for factor in FACTORS:
        assert (least <= _errors(x, w, largest * factor, *rest) * (1 + 1e-9) + 1e-12).all()


@both
@given(arguments(), st.sampled_from([0.5, 4.0]))
def test_powers_of_two_of_x_change_nothing(engine, arguments, factor):
    scaled = engine.awq_clip(**(arguments | {"x": arguments["x"] * np.float32(factor)}))
    np.testing.assert_array_equal(scaled, engine.awq_clip(**arguments))


@both
@given(arguments())
def test_rows_are_alone(engine, arguments):
    alone = engine.awq_clip(**(arguments | {"w": arguments["w"][:1]}))
    np.testing.assert_array_equal(alone, engine.awq_clip(**arguments)[:1])


def _wrong(factors=FACTORS, error=None, symmetric=None, last=False, unclipped=False):
    """Other factors, another error(e, x), another grid, the last of equal ones, or a grid of all weights."""

    def awq_clip(x, w, bits=4, group_size=128, symmetric_=False, **more):
        kind = more.get("symmetric", symmetric_)
        refq.awq_clip(x, w, bits, group_size, kind)
        kind = kind if symmetric is None else symmetric
        groups, tokens = refq.to_groups(w, group_size), refq.to_groups(x, group_size).astype(np.float64)
        largest = np.abs(groups).max(axis=-1, keepdims=True)
        found = []
        for factor in factors:
            clipped = np.clip(groups, -largest * factor, largest * factor)
            grid = refq.awq_range(groups if unclipped else clipped, bits, kind)
            e = refq.fake_quantize(clipped, *grid).astype(np.float64) - groups
            found.append((error or _output)(e, tokens, clipped - groups))
        found = np.stack(found)
        best = len(factors) - 1 - found[::-1].argmin(axis=0) if last else found.argmin(axis=0)
        return largest[..., 0] * np.array(factors, np.float32)[best]

    return lambda x, w, bits, group_size, symmetric: awq_clip(x, w, bits, group_size, symmetric=symmetric)


def _output(e, tokens, cut):
    return (np.einsum("tgi,ogi->tog", tokens, e) ** 2).sum(axis=0)


WRONG = {
    "the error of the weights": _wrong(error=lambda e, tokens, cut: (e**2).sum(axis=-1)),
    "inputs by their size alone": _wrong(
        error=lambda e, tokens, cut: np.einsum("tgi,ogi->og", tokens**2, e**2),
    ),
    "errors before their squares": _wrong(
        error=lambda e, tokens, cut: np.einsum("tgi,ogi->og", tokens, e) ** 2,
    ),
    "against the clipped weights": _wrong(error=lambda e, tokens, cut: _output(e - cut, tokens, cut)),
    "all groups one limit": _wrong(
        error=lambda e, tokens, cut: np.broadcast_to(_output(e, tokens, cut).sum(axis=-1, keepdims=True), e.shape[:2])
    ),
    "twenty steps": _wrong([np.float32(1 - i / 20) for i in range(20)]),
    "steps of a tenth": _wrong([np.float32(1 - i / 10) for i in range(10)]),
    "never clipped": _wrong([np.float32(1)]),
    "always symmetric": _wrong(symmetric=True),
    "never symmetric": _wrong(symmetric=False),
    "of equal ones the last": _wrong(last=True),
    "the grid of all weights": _wrong(unclipped=True),
}
