"""Laws of finetune_step."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from refq.ops.namespace import Replaced
from refq.training.codebook_student import CODEBOOK, INDEX, as_stored, half
from tests.laws.codebook_students import finetune_arguments
from tests.laws.students import doubled, nested_bound, noise, with_operations, with_settings
from tests.support import both

EPS = 0.05  # far above the gradients' rounding errors: else Adam makes whole steps of them


@st.composite
def arguments(draw):
    """Arguments of a first or second step."""
    arguments = draw(finetune_arguments())
    arguments["recipe"] |= {
        "learning_rate": 0.02,
        "weight_decay": draw(st.sampled_from([0.0, 0.1])),
        "eps": EPS,
        "clip": draw(st.sampled_from([None, 0.1, 100.0])),
        "steps": 5,
    }
    if draw(st.booleans()):
        params, state, _ = refq.finetune_step(**arguments, state={})
        return arguments | {"params": params, "state": state}
    return arguments | {"state": {}}


def bound(arguments, expected):
    moments = {n: m.astype(np.float64) for n, m in arguments["state"].get("moments", {}).items()}
    state = arguments["state"] | {"moments": moments} if moments else arguments["state"]
    exact = refq.finetune_step(**doubled(arguments) | {"state": state})
    return nested_bound(expected, exact, 2 * noise(exact[2]["used"]))


@both
@given(arguments())
def test_what_has_no_gradient_stays(engine, arguments):
    params, state, report = engine.finetune_step(**arguments)
    before = arguments["params"]
    assert set(state["moments"]) == set(report["gradients"])
    assert state["step"] == arguments["state"].get("step", 0) + 1
    assert params.keys() == before.keys()
    for name in before:
        follows = name.endswith(CODEBOOK) and name.removesuffix(CODEBOOK) in before
        if name not in report["gradients"] and not follows:
            assert params[name] is before[name]


@both
@given(arguments())
def test_codebooks_of_latent_weights_are_those_that_were_used(engine, arguments):
    params, _, report = engine.finetune_step(**arguments)
    for name in params:
        if name + CODEBOOK in params:
            np.testing.assert_array_equal(params[name + CODEBOOK], report["stored"][name + CODEBOOK])
            np.testing.assert_array_equal(params[name + CODEBOOK], half(params[name + CODEBOOK]))


@both
@given(arguments())
def test_the_same_step_twice(engine, arguments):
    before = {name: array.copy() for name, array in arguments["params"].items()}
    np.testing.assert_equal(engine.finetune_step(**arguments), engine.finetune_step(**arguments))
    np.testing.assert_equal(arguments["params"], before)


@both
@given(arguments())
def test_a_learning_rate_of_0_moves_no_entry(engine, arguments):
    arguments["recipe"]["learning_rate"] = 0.0
    params, _, report = engine.finetune_step(**arguments)
    for name in report["gradients"]:
        np.testing.assert_array_equal(params[name], arguments["params"][name])


def _array_by_array(gradients, most):
    clipped = {name: refq.clip_gradients({name: g}, most)[0][name] for name, g in gradients.items()}
    return clipped, refq.global_norm(gradients)


def _decay(change):
    """Another weight decay, by the array and the one of the recipe."""

    def wrong(**arguments):
        decay = arguments["recipe"].get("weight_decay", 0.01)

        def adamw(w, g, moments, step, rate, given, *rest):
            return refq.adamw(w, g, moments, step, rate, change(w, given, decay), *rest)

        return refq.finetune_step(**arguments, ops=Replaced(refq, adamw=adamw))

    return wrong


def _in_state(without):
    def wrong(params, state, batch, config, recipe):
        kept = {name: value for name, value in state.items() if name != without}
        if without == "moments" and state:
            kept["moments"] = {name: np.zeros_like(m) for name, m in state["moments"].items()}
        return refq.finetune_step(params, kept, batch, config, recipe)

    return wrong


def _after(change):
    """Something done to (params, state, report), which may look at the arguments too."""
    return lambda **arguments: change(*refq.finetune_step(**arguments), arguments)


def _assigned_anew(params, state, report, arguments):
    new = dict(params)
    for name in [name.removesuffix(INDEX) for name in params if name.endswith(INDEX)]:
        weight = refq.codebook_lookup(arguments["params"][name + INDEX], arguments["params"][name + CODEBOOK])
        _, index = refq.lloyd(weight.reshape(1, -1), params[name + CODEBOOK], 0)
        new[name + INDEX] = (index + 1).reshape(weight.shape) % params[name + CODEBOOK].size
    return new, state, report


def _follows_the_new_weight(params, state, report, arguments):
    stored = as_stored(params, refq)
    new = {n + CODEBOOK: stored[n + CODEBOOK] for n in params if n + CODEBOOK in params}
    return params | new, state, report


def _does_not_follow(params, state, report, arguments):
    before = arguments["params"]
    return params | {n + CODEBOOK: before[n + CODEBOOK] for n in params if n + CODEBOOK in params}, state, report


def _moments_for_all(params, state, report, arguments):
    extra = {n: np.zeros((2, *w.shape), np.float32) for n, w in params.items() if not n.endswith(INDEX)}
    return params, state | {"moments": extra | state["moments"]}, report


WRONG = {
    "the schedule of the next step": with_operations(
        "finetune_step", linear_schedule=lambda step, steps: refq.linear_schedule(min(step + 1, steps), steps)
    ),
    "no schedule": with_operations("finetune_step", linear_schedule=lambda step, steps: 1.0),
    "the bias correction of step 1": with_operations(
        "finetune_step", adamw=lambda w, g, moments, step, *rest: refq.adamw(w, g, moments, 1, *rest)
    ),
    "coupled for decoupled decay": with_operations("finetune_step", adamw=refq.adam),
    "clipped array by array": with_operations("finetune_step", clip_gradients=_array_by_array),
    "not clipped": with_operations("finetune_step", clip_gradients=lambda g, most: (g, refq.global_norm(g))),
    "the norm after clipping": with_operations(
        "finetune_step",
        clip_gradients=lambda g, most: (lambda c: (c, refq.global_norm(c)))(refq.clip_gradients(g, most)[0]),
    ),
    "decay of norms and biases": _decay(lambda w, given, decay: decay),
    "no decay of codebooks": _decay(lambda w, given, decay: 0.0 if len(w) == 1 else given),
    "no decay": _decay(lambda w, given, decay: 0.0),
    "the mean for the sum": with_settings("finetune_step", lambda recipe: {"reduce": "mean"}),
    "the sum for the mean": with_settings("finetune_step", lambda recipe: {"reduce": "sum"}),
    "moments begin anew": _in_state("moments"),
    "the step begins anew": _in_state("step"),
    "entries are kept in float16": _after(
        lambda params, state, report, _: (
            {n: half(w) if n.endswith(CODEBOOK) else w for n, w in params.items()},
            state,
            report,
        )
    ),
    "indices are assigned anew": _after(_assigned_anew),
    "codebooks follow the weight after the step": _after(_follows_the_new_weight),
    "codebooks do not follow": _after(_does_not_follow),
    "what has no gradient has moments": _after(_moments_for_all),
    "another default of the rate": with_settings("finetune_step", lambda recipe: {"learning_rate": 1e-3} | recipe),
    "another default of the steps": with_settings("finetune_step", lambda recipe: {"steps": 100} | recipe),
    "another default of clip": with_settings("finetune_step", lambda recipe: {"clip": None} | recipe),
    "another default of decay": with_settings("finetune_step", lambda recipe: {"weight_decay": 0.0} | recipe),
}
