"""Static grids of the inputs of linear layers, in a training step: what is computed with them, and how they learn."""

import numpy as np
import pytest

import refq
from refq.errors import GridError, ShapeError
from refq.training.activations import input_grids
from tests.laws.models import seeded_model
from tests.support import both

TOKENS = np.array([[1, 5, 3, 3], [4, 4, 10, 8]])
SIZES = {"layers": 2, "K": 1, "R": 2, "d": 4, "D": 8, "F": 12, "V": 11}
UP = "model.layers.1.mlp.up_proj"
RECIPE = {"activations": 6, "learning_rate": 0.01, "scale_learning_rate": 0.001, "clip": None, "losses": {"ce": 1.0}}
BATCH = {"tokens": TOKENS, "targets": np.roll(TOKENS, -1, axis=1), "mask": np.ones(TOKENS.shape, bool)}


@pytest.fixture(scope="module")
def student():
    """A student with one scale a row, and a static grid for every layer; its config."""
    weights, config = seeded_model(4, **SIZES)
    params = weights | input_grids(weights, [TOKENS], 6, config, refq)
    for name, w in weights.items():
        if "_proj" in name:
            params[f"{name}_scale"] = refq.minmax(w, -8, 7)[0]
    return params, config


def gradients(engine, student, **changes):
    return engine.kd_gradients(student[0], BATCH, student[1], RECIPE | changes)


@both
def test_every_input_has_a_gradient_but_the_heads(engine, student):
    report, found = gradients(engine, student)
    scales = [name for name in found if name.endswith(".input_scale")]
    assert len(scales) == 14
    assert all(found[name].shape == (1,) and found[name].dtype == np.float32 for name in scales)
    assert all(found[name].any() for name in scales)
    factor = refq.lsq_gradient_scale(8, 31)
    np.testing.assert_allclose(found[f"{UP}.input_scale"], report["used"][f"{UP}.input_scale"] * factor, rtol=1e-6)


@both
def test_the_gradient_of_a_scale_is_that_of_lsq(engine, student):
    """The last layer's down projection: its input and its incoming gradient are seen from outside."""
    seen, layer = {}, "model.layers.1.mlp.down_proj"

    class Spy:
        def __getattr__(self, name):
            return getattr(engine, name)

        def lsq_vjp(self, g, x, scale, zero_point, qmin, qmax):
            if x.shape[-1] == 12 and not seen:  # backward begins at the last layer
                seen["args"] = g, x, scale, zero_point, qmin, qmax
            return engine.lsq_vjp(g, x, scale, zero_point, qmin, qmax)

    report, _ = refq.kd_gradients(student[0], BATCH, student[1], RECIPE, Spy())
    g, x, scale, zero_point, *limits = seen["args"]
    np.testing.assert_array_equal(scale, refq.float16_scale(student[0][f"{layer}.input_scale"]))
    assert limits == [-32, 31]
    t = x / scale
    low, high = limits[0] - zero_point, limits[1] - zero_point
    slope = np.where((low < t) & (t < high), np.rint(t) - t, np.clip(t, low, high))
    np.testing.assert_allclose(report["used"][f"{layer}.input_scale"], [(g * slope).sum()], rtol=1e-4, atol=1e-7)


def test_the_engines_agree(student):
    (one, found), (other, there) = (gradients(engine, student) for engine in both.args[1])
    assert one["losses"]["loss"] == pytest.approx(other["losses"]["loss"], rel=1e-5)
    for name, g in found.items():
        np.testing.assert_allclose(there[name], g, rtol=1e-3, atol=1e-5 * np.abs(g).max(), err_msg=name)


@both
def test_scales_learn_at_their_own_rate_and_zero_points_stay(engine, student):
    params, config = student
    new, state, report = engine.kd_step(params, {}, BATCH, config, RECIPE)
    name = f"{UP}.input_scale"
    assert np.abs(new[name] / params[name] - 1) == pytest.approx(0.001, rel=1e-3), "AdamW's first step is the rate"
    assert state["moments"][name].shape == (2, 1)
    assert new[f"{UP}.input_zero_point"] is params[f"{UP}.input_zero_point"]
    assert name in report["gradients"]


@both
def test_a_frozen_scale_stays_and_gradients_pass(engine, student):
    name = f"{UP}.input_scale"
    report, found = gradients(engine, student, frozen=[name])
    whole, all_found = gradients(engine, student)
    assert name not in found
    assert report["losses"] == whole["losses"]
    np.testing.assert_array_equal(found["model.embed_tokens.weight"], all_found["model.embed_tokens.weight"])


@both
def test_ov_freeze_takes_the_input_grids_of_its_layers_along(engine, student):
    params, frozen = engine.ov_freeze(student[0], -8, 7)
    assert {name for name in frozen if ".input_" in name} == {
        f"model.layers.{n}.self_attn.{p}_proj.input_{kind}"
        for n in (0, 1)
        for p in "ov"
        for kind in ("scale", "zero_point")
    }
    new, _, _ = engine.kd_step(params, {}, BATCH, student[1], RECIPE | {"frozen": frozen})
    assert all(new[name] is params[name] for name in frozen)


@both
def test_under_transition_rates_scales_of_inputs_go_on_learning(engine, student):
    _, state, _ = engine.kd_step(student[0], {}, BATCH, student[1], RECIPE | {"transition": {}})
    assert f"{UP}.input_scale" in state["moments"]
    assert f"{UP}.weight_scale" not in state["moments"]


@both
def test_the_rounded_scale_is_used(engine, student):
    """A change that float16 does not see changes nothing."""
    name = f"{UP}.input_scale"
    moved = student[0] | {name: student[0][name] * np.float32(1 + 2.0**-13)}
    report, _ = gradients(engine, (moved, student[1]))
    np.testing.assert_array_equal(report["logits"], gradients(engine, student)[0]["logits"])


@both
def test_the_penalty_on_gradients_sees_them_too(engine, student):
    _, found = gradients(engine, student, gradient_l1=0.1)
    _, plain = gradients(engine, student)
    assert (found[f"{UP}.input_scale"] != plain[f"{UP}.input_scale"]).any()


WRONG = {
    "no bits": ({}, {"activations": None}, GridError, "recipe.activations"),
    "too many bits": ({}, {"activations": 17}, GridError, "bits=17"),
    "no zero point": ({f"{UP}.input_zero_point": None}, {}, GridError, "input_zero_point beside it"),
    "another layer": (
        {"lm_head.input_scale": np.float32([1]), "lm_head.input_zero_point": np.int32([0])},
        *({}, GridError, "a projection of a block"),
    ),
    "below zero": ({f"{UP}.input_scale": np.float32([-1])}, {}, GridError, "above 0"),
    "a scale a channel": ({f"{UP}.input_scale": np.ones(8, np.float32)}, {}, ShapeError, "(1,)"),
    "off the grid": ({f"{UP}.input_zero_point": np.int32([32])}, {}, GridError, "-32..31"),
}


@both
@pytest.mark.parametrize("case", WRONG)
def test_refused(engine, student, case):
    changes, recipe, error, words = WRONG[case]
    params = {name: value for name, value in (student[0] | changes).items() if value is not None}
    with pytest.raises(error) as found:
        gradients(engine, (params, student[1]), **recipe)
    assert words in str(found.value)
