"""Laws of reconstruction_step."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refq
from refq.ops.namespace import Replaced
from refq.training import reconstruction
from tests.laws import test_reconstruction_gradients as gradients
from tests.laws.groups import group_arguments, seeded_group, seeded_states, wider
from tests.laws.students import nested_bound, noise, with_part, with_settings
from tests.support import both

EPS = 0.05  # far above the gradients' rounding errors: else AdamW makes whole steps of them


@st.composite
def arguments(draw):
    """Arguments of a first or second step."""
    arguments = draw(group_arguments())
    arguments["recipe"] |= {
        "learning_rates": {"low_rank": 0.02, "norms": draw(st.sampled_from([0.0, 0.01]))},
        "weight_decay": draw(st.sampled_from([0.0, 0.1])),
        "eps": EPS,
        "clip": draw(st.sampled_from([None, 0.1, 100.0])),
        "schedule": draw(st.sampled_from(["cosine", "linear", "constant"])),
        "steps": 5,
    }
    if draw(st.booleans()):
        params, state, _ = refq.reconstruction_step(**arguments, state={})
        return arguments | {"params": params, "state": state}
    return arguments | {"state": {}}


def edges():
    """A group and a batch of many tiles."""
    for arguments in gradients.edges():
        yield arguments | {"state": {}, "recipe": arguments["recipe"] | {"eps": EPS}}


def bound(arguments, expected):
    """Errors of gradients, and what AdamW makes of them: at most rate / eps times as much."""
    return nested_bound(expected, refq.reconstruction_step(**wider(arguments)), 2 * noise(expected[2]["gradients"]))


@both
@given(arguments())
def test_what_is_not_trained_stays_and_has_no_moments(engine, arguments):
    params, state, report = engine.reconstruction_step(**arguments)
    assert set(state["moments"]) == set(report["gradients"])
    assert set(params) == set(arguments["params"])
    assert all(params[name] is w for name, w in arguments["params"].items() if name not in state["moments"])
    assert state["step"] == arguments["state"].get("step", 0) + 1


@both
@given(arguments())
def test_the_same_step_twice(engine, arguments):
    before = {name: w.copy() for name, w in arguments["params"].items()}
    np.testing.assert_equal(engine.reconstruction_step(**arguments), engine.reconstruction_step(**arguments))
    np.testing.assert_equal(arguments["params"], before)


@both
@given(arguments())
def test_rates_of_0_move_nothing(engine, arguments):
    arguments["recipe"]["learning_rates"] = dict.fromkeys(gradients.blocks.KINDS, 0.0)
    params, _, report = engine.reconstruction_step(**arguments)
    np.testing.assert_equal(params, arguments["params"])
    found = engine.reconstruction_gradients(**{n: a for n, a in arguments.items() if n != "state"})
    np.testing.assert_equal([report["loss"], report["gradients"]], [found[0]["loss"], found[1]])


@both
def test_a_gradient_that_is_not_finite_is_named(engine):
    params, config, _ = seeded_group(1, (0,))
    batch = {name: x * np.float32(1e25) for name, x in seeded_states(1).items()}
    params["model.layers.0.mlp.down_proj.weight"] *= np.float32(1e20)
    with np.errstate(all="ignore"), pytest.raises(refq.errors.NonFiniteError, match="gradients\\['model"):
        engine.reconstruction_step(params, {}, batch, config, {"train": ["norms"], "bits": None})


def _later(schedule):
    return lambda step, steps: getattr(refq, schedule)(min(step + 1, steps), steps)


def _ops(**wrong):
    return lambda **arguments: refq.reconstruction_step(**arguments, ops=Replaced(refq, **wrong))


def _adamw(change):
    def adamw(w, g, moments, step, rate, decay, betas, eps):
        return refq.adamw(w, g, *change(w, moments, step, rate, decay), betas, eps)

    return _ops(adamw=adamw)


def _one_by_one(gradients, max_norm):
    clipped = {name: refq.clip_gradients({name: g}, max_norm)[0][name] for name, g in gradients.items()}
    return clipped, refq.global_norm(gradients)


def _norm_after(gradients, max_norm):
    clipped, _ = refq.clip_gradients(gradients, max_norm)
    return clipped, refq.global_norm(clipped)


def _settings(change):
    return with_settings("reconstruction_step", change)


def _at_start(state):
    return {name: value for name, value in state.items() if name != "step"}


WRONG = {
    "the schedule a step ahead": _ops(**{n: _later(n) for n in reconstruction._SCHEDULES.values()}),
    "no schedule": _settings(lambda recipe: {"schedule": "constant"}),
    "every array clipped by itself": _ops(clip_gradients=_one_by_one),
    "the norm after clipping": _ops(clip_gradients=_norm_after),
    "never clipped": _settings(lambda recipe: {"clip": None}),
    "always the first step": _adamw(lambda w, m, step, rate, decay: (m, 1, rate, decay)),
    "moments forgotten": _adamw(lambda w, m, step, rate, decay: (m * 0, step, rate, decay)),
    "norms decay": _adamw(lambda w, m, step, rate, decay: (m, step, rate, 0.1 if w.ndim == 1 else decay)),
    "no decay": _settings(lambda recipe: {"weight_decay": 0.0}),
    "one rate for all": _settings(lambda recipe: {"learning_rates": dict.fromkeys(gradients.blocks.KINDS, 5e-4)}),
    "steps counted from 0": lambda state, **arguments: refq.reconstruction_step(state=_at_start(state), **arguments),
    "norms are not trained": with_part(
        "reconstruction_step",
        reconstruction,
        "trained",
        lambda params, recipe: {
            n: kind for n, kind in gradients.blocks.trained(params, recipe).items() if kind != "norms"
        },
    ),
}
