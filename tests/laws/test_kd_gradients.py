"""Laws of kd_gradients."""

import numpy as np
import pytest
from hypothesis import given

import refq
from refq import tape
from refq.models import llama
from refq.training import step, student, terms
from tests.laws.models import seeded_model
from tests.laws.students import (
    PROJECTIONS,
    doubled,
    nested_bound,
    noise,
    seeded_batch,
    seeded_student,
    student_arguments,
    with_operations,
    with_part,
    with_settings,
)
from tests.support import both

arguments = student_arguments


def bound(arguments, expected):
    exact = refq.kd_gradients(**doubled(arguments))
    return nested_bound(expected, exact, noise(exact[0]["used"]))


@both
@given(arguments())
def test_what_is_frozen_has_no_gradient(engine, arguments):
    report, gradients = engine.kd_gradients(**arguments)
    params, frozen = arguments["params"], arguments["recipe"]["frozen"]
    learned = arguments["recipe"]["quantizer"] == "lsq"
    due = {n for n in params if n not in frozen and not n.endswith("_zero_point") and (learned or "_scale" not in n)}
    assert set(gradients) == due
    assert all(g.shape == params[name].shape and g.dtype == params[name].dtype for name, g in gradients.items())
    assert set(report["codes"]) == {n for n in report["used"] if f"{n}_scale" in params}


@both
def test_with_all_projections_frozen_norms_and_embedding_are_left(engine):
    params, config = seeded_student(3)
    fixed, frozen = engine.ov_freeze(params, -8, 7, PROJECTIONS)
    _, gradients = engine.kd_gradients(fixed, seeded_batch(3), config, {"frozen": frozen})
    assert all("norm" in name or "embed" in name for name in gradients)
    assert len(gradients) == 6


@both
@given(arguments())
def test_frozen_is_not_blocked(engine, arguments):
    """On its grid a weight may be frozen or not: what flows through it is the same."""
    limits = refq.integer_range(arguments["recipe"]["bits"])
    if not any("o_proj" in name for name in arguments["params"]):
        return
    fixed, frozen = engine.ov_freeze(arguments["params"], *limits)
    arguments["params"] = fixed
    found = []
    for names in ([], frozen):
        recipe = arguments["recipe"] | {"frozen": names}
        found.append(engine.kd_gradients(**(arguments | {"recipe": recipe})))
    (report, plain), (frozen_report, gradients) = found
    assert frozen_report["losses"] == report["losses"]
    for name, g in gradients.items():
        np.testing.assert_allclose(g, plain[name], rtol=0, atol=noise(report["used"]))
    upstream = report["used"]["model.layers.0.self_attn.q_proj.weight"]
    tokens, mask = arguments["batch"]["tokens"], arguments["batch"]["mask"]
    differ = np.maximum.accumulate(tokens != tokens[:, :1], axis=1)  # of equal values all mixtures are equal
    if (mask & differ).any():
        assert np.abs(upstream).max() > 0


@both
@given(arguments())
def test_a_student_on_its_grids_is_itself(engine, arguments):
    report, _ = engine.kd_gradients(**arguments)
    limits = refq.integer_range(arguments["recipe"]["bits"])
    if len(arguments["params"]) < 4:
        return
    fixed, _ = engine.ov_freeze(arguments["params"], *limits, PROJECTIONS)
    same, _ = engine.kd_gradients(**(arguments | {"params": fixed}))
    if not arguments["recipe"]["frozen"]:
        assert same["losses"] == report["losses"]
        np.testing.assert_equal(same["codes"], report["codes"])


@both
def test_its_own_teacher(engine):
    params, config = seeded_model(4)
    batch = seeded_batch(4)
    batch["teacher_logits"] = engine.llama_forward(params, batch["tokens"], config)
    report, gradients = engine.kd_gradients(params, batch, config, {})
    assert abs(report["losses"]["kl"]) < 1e-6
    assert max(np.abs(g).max() for g in gradients.values()) < 1e-5


@both
def test_batchmean_is_the_token_mean_times_the_tokens(engine):
    params, config = seeded_student(5)
    batch = seeded_batch(5, B=2, T=4)
    batch["mask"][:] = True
    found = [engine.kd_gradients(params, batch, config, {"reduction": how}) for how in ("token_mean", "batchmean")]
    assert found[1][0]["losses"]["kl"] == pytest.approx(4 * found[0][0]["losses"]["kl"], rel=1e-5)
    for name, g in found[0][1].items():
        np.testing.assert_allclose(found[1][1][name], 4 * g, rtol=0, atol=4 * noise(found[1][0]["used"]))


TEACHER = {"kl": 0.5, "ce": 0.25, "reverse_kl": 0.5, "js": 0.5, "logit_mse": 0.1, "logit_cosine": 1.0}


@both
def test_used_gradients_are_the_slope(engine):
    """Of all terms together, through frozen o and v, in float64."""
    params, config = seeded_model(6)
    batch = doubled({"params": params, "batch": seeded_batch(6)})
    params, batch = batch["params"], batch["batch"]
    random = np.random.default_rng(6)
    batch["teacher_hidden"] = [random.standard_normal((2, 3, 8)) for _ in range(3)]
    batch["teacher_attention"] = [random.standard_normal((2, 1, 2, 3, 3)) for _ in range(2)]
    log_probs, batch["teacher_indices"] = refq.top_k_log_probs(batch["teacher_logits"], 4)
    batch["teacher_log_probs"] = log_probs
    recipe = {"losses": TEACHER | {"hidden": 0.5, "attention": 0.25, "top_k_kl": 0.5}, "temperature": 2.0}
    recipe["frozen"] = [name for name in params if "o_proj" in name or "v_proj" in name]
    _, gradients = engine.kd_gradients(params, batch, config, recipe)
    along = {name: random.standard_normal(g.shape) for name, g in gradients.items()}

    def at(h):
        moved = params | {name: params[name] + h * d for name, d in along.items()}
        return engine.kd_gradients(moved, batch, config, recipe)[0]["losses"]["loss"]

    h = 1e-3
    numeric = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
    analytic = sum((g * along[name]).sum() for name, g in gradients.items())
    assert analytic == pytest.approx(numeric, rel=1e-6)


@both
def test_what_a_term_needs_is_named(engine):
    params, config = seeded_model(1)
    with pytest.raises(refq.errors.GridError, match="the batch has no teacher_hidden, which hidden needs"):
        engine.kd_gradients(params, seeded_batch(1), config, {"losses": {"hidden": 1.0}})
    with pytest.raises(refq.errors.GridError, match="losses has no term 'kld'"):
        engine.kd_gradients(params, seeded_batch(1), config, {"losses": {"kld": 1.0}})
    batch = seeded_batch(1) | {"teacher_hidden": []}
    with pytest.raises(refq.errors.ShapeError, match="teacher_hidden has 0 arrays; the student has 3"):
        engine.kd_gradients(params, batch, config, {"losses": {"hidden": 1.0}})


class _Blocking(tape._Lifted):
    def linear(self, x, weight, bias=None):
        if isinstance(weight, np.ndarray):
            x, bias = (getattr(a, "value", a) for a in (x, bias))
        return super().linear(x, weight, bias)


def _one_way(other):
    """kd_kl_and_grad with another divergence in place of KL."""

    def wrong(student_logits, teacher_logits, targets, weight, alpha=1.0, temperature=1.0, squared=True):
        plain = refq.kd_kl_and_grad(student_logits, teacher_logits, targets, weight, 0.0, temperature, squared)
        args = student_logits, teacher_logits, temperature, squared
        g = getattr(refq, f"{other}_vjp")(weight * weight.dtype.type(alpha), *args)
        return getattr(refq, other)(*args), plain[1], g + plain[2] * weight.dtype.type(1 - alpha)

    return wrong


def _kd_with(**fixed):
    def wrong(student_logits, teacher_logits, targets, weight, alpha=1.0, temperature=1.0, squared=True):
        settings = {"alpha": alpha, "temperature": temperature, "squared": squared} | fixed
        return refq.kd_kl_and_grad(student_logits, teacher_logits, targets, weight, **settings)

    return wrong


def _softened_cross_entropy(student_logits, teacher_logits, targets, weight, alpha=1.0, temperature=1.0, squared=True):
    first = refq.kd_kl_and_grad(student_logits, teacher_logits, targets, weight, alpha, temperature, squared)
    soft = student_logits / student_logits.dtype.type(temperature)
    return first[0], refq.cross_entropy(soft, targets), first[2]


def _lsq_vjp(change):
    def wrong(g, x, scale, zero_point, qmin, qmax):
        return change(*refq.lsq_vjp(g, x, scale, zero_point, qmin, qmax), (g, x, scale, zero_point, qmin, qmax))

    return wrong


def _frozen_too(params, recipe, ops):
    weights, codes = _forward_weights(params, recipe | {"frozen": []}, ops)
    return weights, {name: q for name, q in codes.items() if name not in recipe["frozen"]}


def _latent(params, recipe, ops):
    _, codes = _forward_weights(params, recipe, ops)
    return {name: params[name] for name in student.weight_names(params)}, codes


_forward_weights = student.forward_weights


def _without_zero_points(params, batch, config, recipe):
    kept = {name: a for name, a in params.items() if not name.endswith("_zero_point")}
    return refq.kd_gradients(kept, batch, config, recipe)


def _every_position(params, batch, config, recipe):
    return refq.kd_gradients(params, batch | {"mask": np.ones_like(batch["mask"])}, config, recipe)


def _one_sided(plus, minus, epsilon, strength):
    return refq.gradient_l1_gradient(plus, minus, epsilon, 0.5 * strength)


def _frozen_gradients(params, batch, config, recipe):
    report, gradients = refq.kd_gradients(params, batch, config, recipe)
    return report, gradients | {n: np.zeros_like(params[n]) for n in recipe.get("frozen", []) if n.endswith("weight")}


def _heads_averaged(student_scores, teacher_scores):
    heads = student_scores.shape[1] * student_scores.shape[2]
    return refq.attention_map_error(student_scores, teacher_scores) / np.float32(heads)


def _head_too(params, batch, config, recipe):
    def logits(x, params, config, ops):
        x = ops.rms_norm(x, params["model.norm.weight"], config["rms_norm_eps"])
        if recipe.get("activations"):
            x = ops.dynamic_fake_quantize(x, recipe["activations"])
        return ops.linear(x, params["lm_head.weight" if "lm_head.weight" in params else "model.embed_tokens.weight"])

    return with_part("kd_gradients", llama, "_logits", logits)(params=params, batch=batch, config=config, recipe=recipe)


OPERATIONS = {
    "LSQ's factor forgotten": {"lsq_gradient_scale": lambda count, qmax: 1.0},
    "LSQ's factor without qmax": {"lsq_gradient_scale": lambda count, qmax: refq.lsq_gradient_scale(count, 1)},
    "the slope of a step with the other sign": {"lsq_vjp": _lsq_vjp(lambda gx, gscale, _: (gx, -gscale))},
    "clipped weights have a gradient": {"lsq_vjp": _lsq_vjp(lambda gx, gscale, args: (args[0], gscale))},
    "the mask of rounded codes": {
        "lsq_vjp": _lsq_vjp(lambda gx, gscale, args: (refq.fake_quantize_vjp(*args), gscale))
    },
    "straight through without a mask": {"fake_quantize_vjp": lambda g, *_: g},
    "KL of the student to the teacher": {"kd_kl_and_grad": _one_way("reverse_kl_divergence")},
    "temperature without its square": {"kd_kl_and_grad": _kd_with(squared=False)},
    "always the square of the temperature": {"kd_kl_and_grad": _kd_with(squared=True)},
    "no temperature": {"kd_kl_and_grad": _kd_with(temperature=1.0)},
    "cross-entropy with the temperature": {"kd_kl_and_grad": _softened_cross_entropy},
    "KL and cross-entropy half and half": {"kd_kl_and_grad": _kd_with(alpha=0.5)},
    "one half of the penalty's gradient": {"gradient_l1_gradient": _one_sided},
    "scores after the softmax": {"attention_scores": lambda q, k: refq.softmax(refq.attention_scores(q, k))},
    "heads averaged": {"attention_map_error": _heads_averaged},
    "symmetric activations": {
        "dynamic_fake_quantize": lambda x, bits: refq.dynamic_fake_quantize(x, bits, True),
        "dynamic_fake_quantize_vjp": lambda g, x, bits: refq.dynamic_fake_quantize_vjp(g, x, bits, True),
    },
    "the soft quantizer straight through": {
        "soft_fake_quantize_vjp": lambda *args: refq.lsq_vjp(*args[:6]),
    },
}


@both
@given(arguments())
def test_parts_change_the_rounding_alone(engine, arguments):
    arguments = arguments | {"batch": seeded_batch(3, B=4, T=3)}
    known = engine.kd_gradients(**arguments)
    found = engine.kd_gradients(**(arguments | {"recipe": arguments["recipe"] | {"parts": 2}}))
    for once, again in zip(known, found, strict=True):
        _assert_near(again, once, noise(known[0]["used"]))


def _assert_near(found, expected, within):
    if isinstance(expected, dict):
        for name, value in expected.items():
            _assert_near(found[name], value, within)
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=within)


def _with_shares_of_the_batch(**arguments):
    """Every part counts alike, whatever its mask."""
    parts = terms._parts

    def alike(batch, recipe):
        return [(part, 1 / recipe["parts"]) for part, _ in parts(batch, recipe)]

    return with_part("kd_gradients", terms, "_parts", alike)(**arguments)


WRONG = {name: with_operations("kd_gradients", **replaced) for name, replaced in OPERATIONS.items()} | {
    "scales as they are in the forward pass": with_part("kd_gradients", student, "float16_scale", lambda scale: scale),
    "gradient blocked at frozen weights": with_part("kd_gradients", terms.tape, "_Lifted", _Blocking),
    "frozen weights have gradients of 0": _frozen_gradients,
    "frozen weights are quantized too": with_part("kd_gradients", step, "forward_weights", _frozen_too),
    "nothing is frozen": with_settings("kd_gradients", lambda recipe: {"frozen": []}),
    "latent weights in the forward pass": with_part("kd_gradients", step, "forward_weights", _latent),
    "zero points forgotten": _without_zero_points,
    "padded positions count": _every_position,
    "always token_mean": with_settings("kd_gradients", lambda recipe: {"reduction": "token_mean"}),
    "always batchmean": with_settings("kd_gradients", lambda recipe: {"reduction": "batchmean"}),
    "always renormalized": with_settings("kd_gradients", lambda recipe: {"top_k_renormalize": True}),
    "never renormalized": with_settings("kd_gradients", lambda recipe: {"top_k_renormalize": False}),
    "coefficients add up to 1": with_settings(
        "kd_gradients",
        lambda recipe: {
            "losses": {n: c / sum(recipe["losses"].values()) for n, c in recipe["losses"].items()}
            if "losses" in recipe
            else {"kl": 1.0}
        },
    ),
    "states before the mlp": with_part(
        "kd_gradients", terms, "states", lambda trace: trace["hidden"][1::2] + trace["hidden"][-1:]
    ),
    "the head's inputs are quantized": _head_too,
    "steps of inputs are not trained": with_part("kd_gradients", step, "input_scale_names", lambda params: []),
    "activations as they are": with_settings("kd_gradients", lambda recipe: {"activations": None}),
    "parts count alike": _with_shares_of_the_batch,
    "parts are added up, not averaged": with_part(
        "kd_gradients", terms, "_parts", lambda batch, recipe: [(batch, 1.0)] * recipe["parts"]
    ),
    "no penalty": with_settings("kd_gradients", lambda recipe: {"gradient_l1": 0.0}),
}
