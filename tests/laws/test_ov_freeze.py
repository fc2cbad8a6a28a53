"""Laws of ov_freeze."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refq
from refq.training import student
from tests.laws.students import PROJECTIONS, seeded_student, with_part
from tests.support import both


@st.composite
def arguments(draw):
    bits = draw(st.sampled_from([2, 4, 8]))
    params, _ = seeded_student(
        draw(st.integers(0, 99)),
        bits,
        draw(st.sampled_from([None, 2, 4])),
        draw(st.booleans()),
        layers=draw(st.integers(1, 2)),
        biases=draw(st.sampled_from(["", "qkvo"])),
    )
    qmin, qmax = refq.integer_range(bits)
    chosen = draw(st.lists(st.sampled_from(PROJECTIONS), min_size=1, max_size=7, unique=True))
    return {"params": params, "qmin": qmin, "qmax": qmax, "projections": chosen}


@both
@given(arguments())
def test_again_changes_nothing(engine, arguments):
    fixed, frozen = engine.ov_freeze(**arguments)
    again, same = engine.ov_freeze(**(arguments | {"params": fixed}))
    assert same == frozen
    np.testing.assert_equal(again, fixed)


@both
@given(arguments())
def test_the_others_stay(engine, arguments):
    params = arguments["params"]
    fixed, frozen = engine.ov_freeze(**arguments)
    assert list(fixed) == list(params)
    assert frozen == sorted(frozen)
    for name in params:
        assert (name in frozen) == any(f"{p}_proj." in name for p in arguments["projections"])
        assert (fixed[name] is params[name]) or name in frozen


@both
@given(arguments())
def test_values_of_the_codes_that_are_stored(engine, arguments):
    """What quantize stores of the layer, with scales that float16 holds."""
    params, (qmin, qmax) = arguments["params"], (arguments["qmin"], arguments["qmax"])
    fixed, frozen = engine.ov_freeze(**arguments)
    for name in [name for name in frozen if name.endswith("weight")]:
        scale = refq.float16_scale(params[f"{name}_scale"])
        np.testing.assert_array_equal(fixed[f"{name}_scale"], scale)
        zero_point = params.get(f"{name}_zero_point", np.zeros_like(scale, np.int32))
        groups = refq.to_groups(params[name], params[name].shape[1] // scale.shape[1])
        q = refq.quantize(groups, scale[..., None], zero_point[..., None], qmin, qmax)
        stored = refq.dequantize(q, scale[..., None], zero_point[..., None])
        np.testing.assert_array_equal(fixed[name], stored.reshape(params[name].shape))


@both
def test_the_paper_freezes_o_and_v(engine):
    params, _ = seeded_student(1)
    _, frozen = engine.ov_freeze(params, -8, 7)
    assert {name.split(".")[4] for name in frozen} == {"o_proj", "v_proj"}
    with pytest.raises(refq.errors.GridError, match="projection 'e'; q, k, v, o, gate, up, down are there"):
        engine.ov_freeze(params, -8, 7, ["e"])


def _changed(change):
    """The result, with something done to it: (fixed, frozen, params) -> (fixed, frozen)."""

    def ov_freeze(params, qmin, qmax, projections=("o", "v")):
        return change(*refq.ov_freeze(params, qmin, qmax, projections), params)

    return ov_freeze


def _not_frozen(part):
    return _changed(lambda fixed, frozen, params: (fixed, [name for name in frozen if not name.endswith(part)]))


def _restored(part):
    return _changed(
        lambda fixed, frozen, params: (fixed | {n: a for n, a in params.items() if n.endswith(part)}, frozen)
    )


def _one_layer(params, qmin, qmax, projections=("o", "v")):
    fixed, frozen = refq.ov_freeze(params, qmin, qmax, projections)
    return fixed, [name for name in frozen if "layers.1" not in name]


def _by_part_of_the_name(params, qmin, qmax, projections=("o", "v")):
    _, frozen = refq.ov_freeze(params, qmin, qmax, projections)
    parts = [student.PROJECTIONS[p].split(".")[1] for p in projections]
    return refq.ov_freeze(params, qmin, qmax, projections)[0], [n for n in sorted(params) if any(p in n for p in parts)]


def _half_up(groups, scale, zero_point, qmin, qmax):
    return refq.dequantize(
        np.clip(np.floor(groups / scale + 0.5).astype(int) + zero_point, qmin, qmax), scale, zero_point
    )


WRONG = {
    "scales as they are": with_part("ov_freeze", student, "float16_scale", lambda scale: scale),
    "only the weights with rounded scales": _restored("weight_scale"),
    "weights as they are": _restored("weight"),
    "ties up": with_part("ov_freeze", student, "fake_quantize", _half_up),
    "scales are trained": _not_frozen("_scale"),
    "zero points are trained": _not_frozen("_zero_point"),
    "biases are trained": _not_frozen("bias"),
    "only the first layer": _one_layer,
    "names that hold the projection": _by_part_of_the_name,
    "always o and v": lambda params, qmin, qmax, projections=(): refq.ov_freeze(params, qmin, qmax),
    "o alone": lambda params, qmin, qmax, projections=("o",): refq.ov_freeze(params, qmin, qmax, projections),
}
