"""Laws of signal_propagation."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from refq.training.student import PROJECTIONS, SCALE, forward_weights, ov_freeze
from refq.training.trace import states, traced
from tests.laws.models import seeded_model, wide
from tests.laws.operations import UNIT
from tests.support import both

LOSSES = ({"kl": 1.0}, {"ce": 1.0}, {"kl": 0.5, "ce": 0.5}, {"logit_mse": 1.0})
RULES = st.sampled_from(["lsq", "straight_through"])


@st.composite
def arguments(draw, quantized=True, quantizer=RULES):
    shape = {"layers": draw(st.integers(0, 2)), "K": draw(st.integers(1, 2)), "R": draw(st.integers(1, 2))}
    given = _student(draw(st.integers(0, 99)), draw(st.sampled_from(["qkvogud", "qo"])) if quantized else "", **shape)
    batch = _batch(draw(st.integers(0, 99)), draw(st.integers(1, 2)), draw(st.integers(1, 5)))
    recipe = {"losses": draw(st.sampled_from(LOSSES)), "quantizer": draw(quantizer)}
    recipe["frozen"] = draw(st.lists(st.sampled_from(sorted(given["params"])), unique=True)) if quantized else []
    return given | {"batch": batch, "recipe": recipe}


def edges():
    """More rows than a tile has, and heads that share."""
    given = _student(1, "qkvogud", K=2, R=2, d=16, D=64, F=96, V=50)
    yield given | {"batch": _batch(2, 3, 33, V=50), "recipe": {"losses": {"kl": 0.5, "ce": 0.5}}}


def bound(arguments, expected):
    """Twice the distance of float32 from float64, or of a thousand roundings, whichever is more."""
    batch = {n: x.astype(np.float64) if n == "teacher_logits" else x for n, x in arguments["batch"].items()}
    exact = refq.signal_propagation(**(arguments | {"params": wide(arguments["params"]), "batch": batch}))
    return {
        name: 2 * np.maximum(np.abs(exact[name] - x), 1000 * UNIT * np.abs(exact[name]).max(initial=1e-12))
        for name, x in expected.items()
    }


def _student(seed, quantized, **shape):
    """Weights that are multiples of an eighth of their scale: the same codes in every precision, some clipped."""
    params, config = seeded_model(seed, **shape)
    for name, w in list(params.items()):
        if "_proj" in name:
            params[name] = np.rint(w * 64) / np.float32(64)
            if name.rpartition("_proj")[0].rpartition(".")[2][0] in quantized:
                params[name + SCALE] = np.full((len(w), 1), 0.125, np.float32)
    return {"params": params, "config": config}


def _batch(seed, B, T, V=11):
    random = np.random.default_rng(seed)
    tokens = random.integers(0, V, (2, B, T))
    mask = random.random((B, T)) < 0.7
    mask[0, 0] = True
    logits = random.standard_normal((B, T, V)).astype(np.float32)
    return {"tokens": tokens[0], "targets": tokens[1], "mask": mask, "teacher_logits": logits}


def _near(arguments, report, other, *names):
    allowed = bound(arguments, report)
    for name in names or report:
        np.testing.assert_allclose(other[name], report[name], rtol=0, atol=allowed[name].max(initial=0))


@both
@given(arguments(quantized=False))
def test_nothing_quantized_nothing_frozen(engine, arguments):
    report = engine.signal_propagation(**arguments)
    np.testing.assert_array_equal(report["used"], report["trained"])


@both
@given(arguments())
def test_a_quantizer_lets_through_at_most_what_there_is(engine, arguments):
    report = engine.signal_propagation(**arguments)
    assert (report["trained"] <= report["used"]).all()


@both
@given(arguments())
def test_twice_the_loss_is_four_times_the_squares(engine, arguments):
    report = engine.signal_propagation(**arguments)
    doubled = {name: 2 * coefficient for name, coefficient in arguments["recipe"]["losses"].items()}
    twice = engine.signal_propagation(**(arguments | {"recipe": arguments["recipe"] | {"losses": doubled}}))
    factors = {"used": 4, "trained": 4, "mean": 1, "norm": 1, "loss": 2}
    _near(arguments, report, {name: twice[name] / factor for name, factor in factors.items()})


@both
@given(arguments())
def test_freezing_what_stands_on_its_grid_changes_nothing_that_is_used(engine, arguments):
    params, frozen = arguments["params"], []
    recipe = arguments["recipe"] | {"frozen": []}
    if any(name.endswith(("v_proj.weight_scale", "o_proj.weight_scale")) for name in params):
        params, frozen = ov_freeze(params, -8, 7, [p for p in "vo" if _has(params, p)])
    report = engine.signal_propagation(**(arguments | {"params": params, "recipe": recipe}))
    fixed = engine.signal_propagation(**(arguments | {"params": params, "recipe": recipe | {"frozen": frozen}}))
    for name in ("used", "mean", "norm", "loss"):
        np.testing.assert_array_equal(report[name], fixed[name])
    for column, p in enumerate(PROJECTIONS):
        assert not fixed["trained"][:, column].any() or p not in "vo" or not _has(params, p)


@both
@given(arguments())
def test_the_norms_are_those_of_kd_gradients(engine, arguments):
    report = engine.signal_propagation(**arguments)
    found, gradients = engine.kd_gradients(**arguments)
    for kind, known in (("used", found["used"]), ("trained", gradients)):
        for layer in range(arguments["config"]["num_hidden_layers"]):
            for column, projection in enumerate(PROJECTIONS.values()):
                name = f"model.layers.{layer}.{projection}.weight"
                if name in known:
                    square = np.square(known[name], dtype=np.float64).sum()
                    assert abs(square - report[kind][layer, column]) <= 1e-5 * square


def _has(params, p):
    return any(name.endswith(f"{p}_proj.weight_scale") for name in params)


def _changed(change):
    """A mistake made on the right report."""

    def wrong(**arguments):
        report = refq.signal_propagation(**arguments)
        return report | change(report, arguments)

    return wrong


def _squares(function):
    return _changed(lambda report, arguments: {kind: function(report[kind]) for kind in ("used", "trained")})


def _of_states(function, first=1, last=None, everywhere=False):
    """Other numbers of the states (positions, D)."""

    def change(report, arguments):
        recipe = {"bits": 4, "quantizer": "lsq", "frozen": []} | arguments["recipe"]
        weights, _ = forward_weights(arguments["params"], recipe, refq)
        ops, trace = traced(refq)
        refq.llama_forward(weights, arguments["batch"]["tokens"], arguments["config"], ops)
        mask = arguments["batch"]["mask"] | everywhere
        return function([x[mask].astype(np.float64) for x in states(trace)[first:last]])

    return _changed(change)


def _means(seen):
    return {
        "mean": np.array([x.mean() for x in seen]),
        "norm": np.array([np.sqrt((x * x).sum(-1)).mean() for x in seen]),
    }


def _in_recipe(name, value, *kept):
    """Some of the report of another recipe."""

    def change(report, arguments):
        other = refq.signal_propagation(**(arguments | {"recipe": arguments["recipe"] | {name: value}}))
        return {kind: other[kind] for kind in kept}

    return _changed(change)


def _penalized(report, arguments):
    found, _ = refq.kd_gradients(**arguments)
    known = {name: np.square(g, dtype=np.float64).sum() for name, g in found["used"].items()}
    rows = [
        [
            known.get(f"model.layers.{layer}.{p}.weight", report["used"][layer, i])
            for i, p in enumerate(PROJECTIONS.values())
        ]
        for layer in range(len(report["used"]))
    ]
    return {"used": np.array(rows).reshape(report["used"].shape)}


def _with_scales(report, arguments):
    _, gradients = refq.kd_gradients(**arguments)
    trained = report["trained"].copy()
    for layer in range(len(trained)):
        for i, p in enumerate(PROJECTIONS.values()):
            g = gradients.get(f"model.layers.{layer}.{p}.weight{SCALE}", np.zeros(1))
            trained[layer, i] += np.square(g, dtype=np.float64).sum()
    return {"trained": trained}


WRONG = {
    "norms, not squared": _squares(np.sqrt),
    "halves of the squares": _squares(lambda squares: squares / 2),
    "transposed": _squares(lambda squares: squares.T.copy()),
    "o before v": _squares(lambda squares: squares[:, [0, 1, 3, 2, 4, 5, 6]]),
    "in alphabetical order": _squares(lambda squares: squares[:, [6, 4, 1, 3, 0, 5, 2]]),
    "the gradients of latent weights for both": _changed(lambda report, _: {"used": report["trained"]}),
    "the gradients of used weights for both": _changed(lambda report, _: {"trained": report["used"]}),
    "frozen ones dropped": _changed(lambda report, _: {"used": np.where(report["trained"] == 0, 0, report["used"])}),
    "frozen weights put on their grids": _in_recipe("frozen", [], "used", "mean", "norm", "loss"),
    "the penalty's gradients": _changed(_penalized),
    "scales counted with their weights": _changed(_with_scales),
    "the plain rule for every quantizer": _in_recipe("quantizer", "straight_through", "trained"),
    "padding too": _of_states(_means, everywhere=True),
    "states before the layers": _of_states(_means, 0, -1),
    "states of inputs that are not quantized": _of_states(_means),
    "mean of absolute values": _of_states(lambda seen: {"mean": np.array([np.abs(x).mean() for x in seen])}),
    "norm of all numbers at once": _of_states(lambda seen: {"norm": np.array([np.linalg.norm(x) for x in seen])}),
    "root of the mean square": _of_states(lambda seen: {"norm": np.array([np.sqrt((x * x).mean()) for x in seen])}),
    "squared norms of states": _of_states(lambda seen: {"norm": np.array([(x * x).sum(-1).mean() for x in seen])}),
    "loss summed over layers": _changed(lambda report, _: {"loss": report["loss"] * max(2, len(report["mean"]))}),
}
