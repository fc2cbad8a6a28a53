"""Laws of kd_step."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refq
import refq_fast
from refq.ops.namespace import Replaced
from refq.training import step
from refq.training.recipe import complete
from refq.training.recompute import recomputing
from tests.laws.models import seeded_model
from tests.laws.operations import UNIT
from tests.laws.students import (
    PROJECTIONS,
    doubled,
    nested_bound,
    seeded_batch,
    seeded_student,
    student_arguments,
    with_operations,
    with_part,
    with_settings,
)
from tests.support import both

EPS = 0.05  # far above the gradients' rounding errors: else Adam makes whole steps of them


@st.composite
def arguments(draw):
    """Arguments of a first or second step, with every optimizer and schedule."""
    arguments = draw(student_arguments())
    arguments["recipe"] |= {
        "optimizer": draw(st.sampled_from(["sgd", "adam", "adamw"])),
        "learning_rate": 0.02,
        "scale_learning_rate": 0.002,
        "float_learning_rate": draw(st.sampled_from([None, 0.0, 0.01])),
        "weight_decay": draw(st.sampled_from([0.0, 0.1])),
        "eps": EPS,
        "clip": draw(st.sampled_from([None, 0.1, 100.0])),
        "schedule": draw(st.sampled_from(["cosine", "linear", "constant"])),
        "warmup": draw(st.integers(0, 2)),
        "steps": 5,
        "transition": draw(st.none() | st.sampled_from([{"strength": 0.1}, {"scope": "global", "rule": "momentum"}])),
        "lottery": draw(st.none() | st.just({"final": 0.4, "growth": "constant"})),
    }
    if draw(st.booleans()):
        params, state, _ = refq.kd_step(**arguments, state={})
        return arguments | {"params": params, "state": state}
    return arguments | {"state": {}}


def edges():
    """A model and a batch of many tiles."""
    params, config = seeded_student(9, group_size=32, d=16, D=64, F=96, V=301, K=2)
    yield {
        "params": params,
        "state": {},
        "batch": seeded_batch(9, B=3, T=33, V=301),
        "config": config,
        "recipe": {"losses": {"kl": 0.5, "ce": 0.5}, "optimizer": "sgd"},
    }


def bound(arguments, expected):
    """Errors of gradients, and what the optimizer makes of them in parameters: at most rate / eps, or rate, times them.

    float32 is within 0.71 of the error below of float64, the engines within 0.63 of each other, parameters within 0.06:
    nested_bound allows twice each.
    """
    params, recipe = arguments["params"], complete(arguments["recipe"])
    exact = refq.kd_step(**wider(arguments))
    largest = max([1e-3, *(np.abs(g).max(initial=0) for g in exact[2]["used"].values())])
    error = UNIT * min(_terms(params), 2000) * largest
    per_gradient = recipe["learning_rate"] / (1.0 if recipe["optimizer"] == "sgd" else recipe["eps"])
    rounding = 2 * UNIT * max(np.abs(w).max(initial=0) for w in params.values())  # of the new parameter
    floors = min(per_gradient, 1.0) * error + rounding, error, error
    return [nested_bound(*parts) for parts in zip(expected, exact, floors, strict=True)]


def _terms(params):
    """Terms of the sums on the longest way to a gradient: every matrix is passed once forward, where a sum has a term
    an input, and once back, where it has one an output. 19 to 318 for `arguments`, 2221 for `edges`; what is between
    the matrices (norms, softmax, attention) sums over no more than they do."""
    return sum(sum(w.shape) for name, w in params.items() if name.endswith("weight") and w.ndim == 2)


def wider(arguments):
    """The same call in float64, its state too."""

    def wide(value):
        if isinstance(value, dict):
            return {name: wide(item) for name, item in value.items()}
        return value.astype(np.float64) if getattr(value, "dtype", None) == np.float32 else value

    return doubled(arguments) | {"state": wide(arguments["state"])}


@both
@given(arguments())
def test_what_is_frozen_stays_and_has_no_moments(engine, arguments):
    params, state, report = engine.kd_step(**arguments)
    for name in arguments["recipe"]["frozen"]:
        assert params[name] is arguments["params"][name]
    assert set(state["moments"]) == set(report["gradients"])
    assert not set(state["moments"]) & set(arguments["recipe"]["frozen"])
    assert state["step"] == arguments["state"].get("step", 0) + 1


@both
@given(arguments())
def test_the_same_step_twice(engine, arguments):
    before = {name: a.copy() for name, a in arguments["params"].items()}
    first, second = engine.kd_step(**arguments), engine.kd_step(**arguments)
    np.testing.assert_equal(second, first)
    np.testing.assert_equal(arguments["params"], before)


@both
@given(arguments())
def test_under_scheduling_scales_stay(engine, arguments):
    arguments["recipe"]["transition"] = {"strength": 0.1}
    params, state, report = engine.kd_step(**arguments)
    for name in params:
        if name.endswith("_scale"):
            assert params[name] is arguments["params"][name]
    assert set(state["rates"]) == set(report["codes"])
    assert all(0 <= rate <= 1 for rate in report["transitions"]["rate"].values())


@both
def test_a_learning_rate_of_0_moves_no_weight(engine):
    """U = 0: neither latent weights nor, at the next step, any code."""
    params, config = seeded_student(2)
    recipe = {"transition": {"strength": 0.0, "rule": "multiplicative"}, "learning_rate": 0.0}
    new, state, _ = engine.kd_step(params, {}, seeded_batch(2), config, recipe)
    np.testing.assert_equal(new, params)
    _, _, report = engine.kd_step(new, state, seeded_batch(3), config, recipe)
    assert set(report["transitions"]["rate"].values()) == {0.0}


@both
@given(arguments())
def test_a_float_rate_of_0_keeps_what_stays_float(engine, arguments):
    """And it is the same for all else."""
    arguments["recipe"]["float_learning_rate"] = 0.0
    params, state, report = engine.kd_step(**arguments)
    arguments["recipe"]["float_learning_rate"] = None
    others, same, _ = engine.kd_step(**arguments)
    for name, w in params.items():
        own = name not in report["codes"] and not name.endswith("_scale")
        np.testing.assert_array_equal(w, arguments["params"][name] if own else others[name])
    np.testing.assert_equal(state, same)


@both
def test_without_a_gradient_nothing_changes_its_code(engine):
    """And the rate of the next step grows by eta times the target."""
    params, config = seeded_student(2)
    fixed, _ = engine.ov_freeze(params, -8, 7, PROJECTIONS)
    batch = seeded_batch(2)
    batch["teacher_logits"] = engine.llama_forward(
        {n: a for n, a in fixed.items() if "_scale" not in n}, batch["tokens"], config
    )
    recipe = {"optimizer": "sgd", "learning_rate": 0.5, "transition": {"strength": 0.25, "scope": "global"}}
    state, rates = {}, []
    for _ in range(3):
        fixed, state, report = engine.kd_step(fixed, state, batch, config, recipe)
        assert report["transitions"]["rate"] == {"all": 0.0}
        rates.append(state["rates"]["all"])
    targets = [refq.target_rate(0.5, number, 300) for number in range(3)]
    np.testing.assert_allclose(rates, 0.5 + 0.5 * np.cumsum(targets), rtol=1e-12)


@both
def test_all_frozen(engine):
    params, config = seeded_student(4)
    recipe = {"frozen": list(params), "losses": {"kl": 1.0, "hidden": 1.0, "logit_mse": 1.0}}
    batch = seeded_batch(4) | {"teacher_hidden": [np.zeros((2, 3, 8), np.float32)] * 3}
    new, state, report = engine.kd_step(params, {}, batch, config, recipe)
    assert all(new[name] is params[name] for name in params)
    assert state == {"step": 1, "moments": {}, "codes": {}, "running": {}, "rates": {}}
    assert report["norm"] == 0
    assert report["losses"]["loss"] > 0


@both
def test_a_gradient_that_is_not_finite_is_named(engine):
    params, config = seeded_model(1)
    params["model.norm.weight"] = params["model.norm.weight"] * np.float32(1e30)
    with np.errstate(all="ignore"), pytest.raises(refq.errors.NonFiniteError, match="gradients\\['model"):
        engine.kd_step(params, {}, seeded_batch(1), config, {"losses": {"logit_mse": 1.0}})


LARGEST = 2e-6  # of weights and scales after three steps: 16 units in the last place of 1


def test_three_steps_of_both_engines():
    """The same codes, and weights within LARGEST of those of float64; both start from the same seed."""
    recipe = {
        "losses": {"kl": 0.5, "ce": 0.5},
        "weight_decay": 0.1,
        "learning_rate": 1e-3,
        "warmup": 1,
        "steps": 9,
        "eps": 1e-4,
    }
    params, config = seeded_student(11, symmetric=False, group_size=4, biases="qkv")
    fixed, recipe["frozen"] = refq.ov_freeze(params, -8, 7)
    found = []
    for engine in (refq, refq_fast, None):
        params, state = fixed, {}
        for number in range(3):
            call = {"params": params, "state": state, "batch": seeded_batch(number), "config": config, "recipe": recipe}
            params, state, _ = refq.kd_step(**wider(call)) if engine is None else engine.kd_step(**call)
        found.append((params, state["codes"]))
    (slow, codes), (fast, same), (exact, exact_codes) = found
    np.testing.assert_equal(same, codes)
    np.testing.assert_equal(exact_codes, codes)
    for name in exact:
        for params in (slow, fast):
            np.testing.assert_allclose(params[name], exact[name], rtol=0, atol=LARGEST, err_msg=name)


def _later(schedule):
    return lambda step, steps, warmup=0: getattr(refq, schedule)(min(step + 1, steps), steps, warmup)


def _always_first(optimizer):
    def wrong(w, g, moments, step, *rest):
        return getattr(refq, optimizer)(w, g, moments, 1, *rest)

    return wrong


def _one_by_one(gradients, max_norm):
    clipped = {name: refq.clip_gradients({name: g}, max_norm)[0][name] for name, g in gradients.items()}
    return clipped, refq.global_norm(gradients)


def _norm_after(gradients, max_norm):
    clipped, _ = refq.clip_gradients(gradients, max_norm)
    return clipped, refq.global_norm(clipped)


def _decay(change):
    """Another weight decay, by the array and the one of the recipe."""

    def wrong(**arguments):
        decay = arguments["recipe"].get("weight_decay", 0.0)

        def adamw(w, g, moments, step, rate, given, *rest):
            return refq.adamw(w, g, moments, step, rate, change(w, given, decay), *rest)

        def adam(w, g, moments, step, rate, given, *rest):
            return refq.adam(w, g, moments, step, rate, change(w, given, decay), *rest)

        return refq.kd_step(**arguments, ops=Replaced(refq, adam=adam, adamw=adamw))

    return wrong


def _in_state(change):
    return lambda params, state, batch, config, recipe: refq.kd_step(params, change(state), batch, config, recipe)


def _after(change):
    """Something done to (params, state, report), which may look at the arguments too."""
    return lambda **arguments: change(*refq.kd_step(**arguments), arguments)


def _moments_for_all(params, state, report, arguments):
    extra = {name: np.zeros((2, *params[name].shape), np.float32) for name in arguments["recipe"].get("frozen", [])}
    return params, state | {"moments": extra | state["moments"]}, report


def _codes_after(params, state, report, arguments):
    _, codes = step.forward_weights(params, step.complete(arguments["recipe"]), refq)
    return params, state | {"codes": codes}, report


def _observed(change):
    plain = step.observed
    return with_part("kd_step", step, "observed", lambda *arguments: plain(*change(*arguments)))


def _moved(codes, state, recipe, number, ops):
    """Latent weights: each that moves is counted."""
    before = {name: q + 1 for name, q in state["codes"].items()} if "codes" in state else {}
    return codes, state | ({"codes": before} if before else {}), recipe, number, ops


def _per_weight(codes, state, recipe, number, ops):
    return (
        codes,
        state,
        recipe | {"transition": recipe["transition"] and recipe["transition"] | {"scope": "layer"}},
        number,
        ops,
    )


def _float_rate(change):
    """Another float rate for some names."""
    plain = step._learning_rate

    def wrong(name, codes, recipe):
        return plain(name, codes, recipe | {"float_learning_rate": change(name, recipe["float_learning_rate"])})

    return with_part("kd_step", step, "_learning_rate", wrong)


def _stored_scales(params, state, report, arguments):
    return {n: refq.float16_scale(a) if n.endswith("_scale") else a for n, a in params.items()}, state, report


def _one_rate(params, state, report, arguments):
    rates = dict.fromkeys(state["rates"], max(state["rates"].values(), default=0.0))
    return params, state | {"rates": rates}, report


WRONG = {
    name: with_operations("kd_step", **replaced)
    for name, replaced in {
        "the schedule of the next step": {n: _later(n) for n in ("cosine_schedule", "linear_schedule")},
        "no warm-up": {"linear_schedule": lambda step, steps, warmup: refq.linear_schedule(step, steps)},
        "the bias correction of step 1": {n: _always_first(n) for n in ("adam", "adamw")},
        "coupled for decoupled decay": {"adamw": refq.adam},
        "decoupled for coupled decay": {"adam": refq.adamw},
        "clipped array by array": {"clip_gradients": _one_by_one},
        "the norm after clipping": {"clip_gradients": _norm_after},
        "not clipped": {"clip_gradients": lambda g, most: (g, refq.global_norm(g))},
        "momentum inside the rate": {
            "sgd": lambda w, g, v, rate, m, d: refq.sgd(w, (g + np.float32(d) * w) * np.float32(1 - m), v, rate, m, 0.0)
        },
        "the running rate without its momentum": {"running_rate": lambda running, rate, momentum: rate},
        "the running rate of the default momentum": {
            "running_rate": lambda running, rate, _: refq.running_rate(running, rate)
        },
        "the running rate begins with the first rate": {
            "running_rate": lambda running, rate, m: refq.running_rate(running, rate, m) if running else rate
        },
        "a target that does not fall": {"target_rate": lambda initial, step, steps: initial},
        "a target without the root of the bits": {"initial_target": lambda bits, strength: strength},
        "the additive rule for all": {
            "talr_multiplicative": lambda u, r, k: refq.talr_additive(u, r, k, 0.04),
            "talr_momentum": lambda u, r, k: refq.talr_additive(u, r, k, 0.04),
        },
        "settled weights move": {"lts_hold": lambda w, before, frozen: w},
        "settled weights are let go": {
            "lts_freeze": lambda frozen, *rest: refq.lts_freeze(np.zeros_like(frozen), *rest)
        },
        "the soft quantizer straight through": {"soft_fake_quantize_vjp": lambda *args: refq.lsq_vjp(*args[:6])},
        "LSQ's factor forgotten": {"lsq_gradient_scale": lambda count, qmax: 1.0},
    }.items()
}
WRONG |= {
    "decay of norms and biases": _decay(lambda w, given, decay: decay if w.ndim == 1 else given),
    "decay of scales": _decay(lambda w, given, decay: decay if w.shape[-1:] == (1,) else given),
    "no decay": _decay(lambda w, given, decay: 0.0),
    "moments begin anew": _in_state(lambda state: {n: v for n, v in state.items() if n != "moments"}),
    "the step begins anew": _in_state(lambda state: {n: v for n, v in state.items() if n != "step"}),
    "frozen weights have moments": _after(_moments_for_all),
    "nothing is frozen": with_settings("kd_step", lambda recipe: {"frozen": []}),
    "codes after the update": _after(_codes_after),
    "transitions of latent weights": _observed(_moved),
    "transitions by weight in the scope of all": _observed(_per_weight),
    "one rate for all": _after(_one_rate),
    "scales are trained under scheduling": with_part(
        "kd_step", step, "_is_trained", lambda name, recipe: name not in recipe["frozen"]
    ),
    "no scheduling": with_settings("kd_step", lambda recipe: {"transition": None}),
    "scales learn as fast as weights": with_settings(
        "kd_step", lambda recipe: {"scale_learning_rate": recipe.get("learning_rate", 1e-3)}
    ),
    "no rate of their own for what stays float": with_settings("kd_step", lambda recipe: {"float_learning_rate": None}),
    "a float rate of norms alone": _float_rate(lambda name, rate: rate if name.endswith("norm.weight") else None),
    "a float rate of 0 is none": _float_rate(lambda name, rate: rate or None),
    "the float rate is eta": with_settings(
        "kd_step",
        lambda recipe: {"learning_rate": recipe["float_learning_rate"]} if recipe.get("float_learning_rate") else {},
    ),
    "steps of inputs are like those of weights": with_part("kd_step", step, "INPUT_SCALE", "none"),
    "scales may be negative": with_part("kd_step", step, "SMALLEST_SCALE", -np.inf),
    "scales are kept in float16": _after(_stored_scales),
}


@both
@given(arguments())
def test_recomputing_gives_the_same_bits(engine, arguments):
    for bits in (None, 4):
        now = arguments | {"recipe": arguments["recipe"] | {"activations": bits}}
        np.testing.assert_equal(engine.kd_step(**now, ops=recomputing(engine)), engine.kd_step(**now))
