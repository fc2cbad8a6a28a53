"""Fine-tuning with fixed indices: the derivative of an entry is the sum over its members, the paper's that / n."""

import numpy as np
import pytest

import refq
import refq_fast
from refq.training.codebook_student import (
    CODEBOOK,
    INDEX,
    as_stored,
    fit_codebook,
    half,
    quantized_names,
    start_student,
    used_weights,
)
from refq.training.finetune import finetune_gradients, finetune_step, mean_pooled, mean_pooled_vjp
from tests.laws.models import seeded_bert, seeded_model, wide
from tests.support import both

SHAPE = {"layers": 2, "H": 2, "D": 8, "F": 12}
MODELS = {"bert": SHAPE, "albert": SHAPE | {"layers": 3, "width": 6, "shared": True, "act": "gelu_tanh"}}
TOKENS = np.array([[1, 5, 3, 3, 9], [4, 4, 10, 8, 0], [2, 3, 0, 0, 0], [7, 7, 7, 7, 7]])
WORDS = "embeddings.word_embeddings.weight"
BATCH = {"tokens": TOKENS, "mask": np.arange(5) < np.array([[5], [4], [2], [5]]), "types": TOKENS % 2}
TASKS = {"classification": {"labels": np.array([2, 0, 1, 1])}, "similarity": {"scores": np.array([0.25, 0.9])}}
RECIPE = {"reduce": "mean", "learning_rate": 1e-2, "weight_decay": 0.1, "steps": 4}


def student(name, bits=2, scheme="kmeans", requantize=False):
    """(params, config) of a small quantized encoder in float64, with a classifier of three labels."""
    weights, config = seeded_bert(4, **MODELS[name])
    random = np.random.default_rng(2)
    weights |= {"classifier.weight": random.standard_normal((3, 8)), "classifier.bias": random.standard_normal(3)}
    return start_student(wide(weights), scheme, bits, draws(bits), refq, requantize), config


def draws(bits):
    return lambda number: np.random.default_rng(number).random(2**bits)


def along(params, name, config, batch, engine=refq):
    """Numeric derivative of the loss along each entry of a codebook; the forward pass alone, nothing rounded."""

    def loss(codebook):
        weights = used_weights(params, engine)
        place = name.removesuffix(CODEBOOK)
        weights[place] = refq.codebook_lookup(params[place + INDEX], codebook)
        return finetune_gradients(weights, batch, config, {}, engine)[0]["losses"]["loss"]

    h, codebook, found = 1e-5, half(params[name]), []
    for entry in np.ndindex(*codebook.shape):
        step = np.zeros_like(codebook)
        step[entry] = h
        far, near = (loss(codebook + k * step) - loss(codebook - k * step) for k in (2, 1))
        found.append((8 * near - far) / (12 * h))
    return np.array(found).reshape(codebook.shape)


@both
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", MODELS)
def test_the_gradient_of_a_centroid(engine, name, task):
    (params, config), batch = student(name), BATCH | TASKS[task]
    _, sums = finetune_gradients(params, batch, config, {"reduce": "sum"}, engine)
    _, means = finetune_gradients(params, batch, config, {"reduce": "mean"}, engine)
    layer = "encoder.layer.0.attention.self.query.weight"
    for place in (WORDS, layer, "embeddings.token_type_embeddings.weight"):
        numeric = along(params, place + CODEBOOK, config, batch)
        np.testing.assert_allclose(sums[place + CODEBOOK], numeric, rtol=1e-6, atol=1e-8)
        members = np.bincount(params[place + INDEX].reshape(-1), minlength=4)
        np.testing.assert_allclose(means[place + CODEBOOK][0] * members, sums[place + CODEBOOK][0], rtol=1e-12)
    assert sums.keys() == means.keys()
    assert ("pooler.dense.weight_codebook" in sums) == (task == "classification")


def test_rows_outside_the_batch_have_no_gradient_but_are_counted():
    params, config = student("bert")
    batch = BATCH | TASKS["classification"]
    weights = used_weights(params, refq)
    _, dense = finetune_gradients(weights, batch, config, {"reduce": "mean"}, refq)
    seen = np.isin(np.arange(11), TOKENS)
    assert not dense[WORDS][~seen].any(), "word 6 is in no sentence"
    assert dense[WORDS][np.unique(TOKENS[BATCH["mask"]])].any(axis=1).all()
    _, found = finetune_gradients(params, batch, config, {"reduce": "mean"}, refq)
    for c in range(4):
        members = params[WORDS + INDEX] == c
        assert members[~seen].any()
        np.testing.assert_allclose(found[WORDS + CODEBOOK][0, c], dense[WORDS][members].sum() / members.sum())


@both
@pytest.mark.parametrize("reduce", ["mean", "sum"])
def test_tied_embeddings_of_a_llama_add_both_uses(engine, reduce):
    weights, config = seeded_model(3, tied=True)
    params = start_student(wide(weights), "kmeans", 2, draws(2), refq)
    name, batch = "model.embed_tokens.weight", {"tokens": TOKENS[:, :4], "targets": TOKENS[:, 1:]}
    batch["mask"] = batch["tokens"] > 0
    report, gradients = finetune_gradients(params, batch, config, {"reduce": reduce}, engine)
    untied = used_weights(params, engine)
    untied["lm_head.weight"] = untied[name]
    _, apart = finetune_gradients(untied, batch, config, {}, engine)
    dense, found = report["used"][name], gradients[name + CODEBOOK]
    np.testing.assert_allclose(dense, apart[name] + apart["lm_head.weight"], atol=1e-15)
    for c in range(4):
        members = params[name + INDEX] == c
        expected = dense[members].sum() / (members.sum() if reduce == "mean" else 1)
        np.testing.assert_allclose(found[0, c], expected)

    def loss(codebook):
        used = used_weights(params, engine) | {name: refq.codebook_lookup(params[name + INDEX], codebook)}
        return finetune_gradients(used, batch, config, {}, engine)[0]["losses"]["loss"]

    h, step, codebook = 1e-5, np.array([[0.3, -1, 0.5, 0.2]]), params[name + CODEBOOK]
    far, near = (loss(codebook + k * h * step) - loss(codebook - k * h * step) for k in (2, 1))
    members = np.bincount(params[name + INDEX].reshape(-1), minlength=4) if reduce == "mean" else 1
    assert (found * members * step).sum() == pytest.approx((8 * near - far) / (12 * h), rel=1e-6)


def test_all_matrices_but_the_classification_layer_are_quantized():
    weights, _ = seeded_bert(4, **SHAPE)
    weights |= {"classifier.weight": np.ones((3, 8), np.float32), "classifier.bias": np.ones(3, np.float32)}
    weights |= {"lm_head.weight": np.ones((3, 8), np.float32)}
    names = quantized_names(weights)
    assert len(names) == 3 + 2 * 6 + 1
    assert all(name.endswith(".weight") and "LayerNorm" not in name for name in names)
    assert {"embeddings.word_embeddings.weight", "pooler.dense.weight"} <= set(names)
    assert not {"classifier.weight", "lm_head.weight"} & set(names)


@both
@pytest.mark.parametrize("bits", [1, 3, 8])
@pytest.mark.parametrize("scheme", ["kmeans", "kmeans_optimal", "linear_mean", "linear_round"])
def test_codebooks(engine, scheme, bits):
    w = np.random.default_rng(0).standard_t(4, (33, 40)).astype(np.float32)
    groups = w.reshape(1, -1)
    codebook, index = fit_codebook(groups, scheme, bits, draws(bits)(0)[None], engine)
    other = fit_codebook(groups, scheme, bits, draws(bits)(0)[None], refq)
    np.testing.assert_array_equal(codebook, other[0])
    np.testing.assert_array_equal(index, other[1])
    assert codebook.shape == (1, 2**bits)
    assert index.shape == groups.shape
    index = index.reshape(w.shape)
    np.testing.assert_array_equal(codebook, codebook.astype(np.float16))
    if scheme.startswith("kmeans"):
        near = np.abs(w[..., None].astype(np.float64) - codebook[0]).min(axis=-1)
        np.testing.assert_array_equal(np.abs(w - refq.codebook_lookup(index, codebook)), near.astype(np.float32))
    if scheme == "linear_mean":
        np.testing.assert_array_equal(index.reshape(1, -1), refq.linear_mean(w.reshape(1, -1), bits)[1])


def test_an_entry_beyond_float16_is_refused():
    with pytest.raises(refq.errors.GridError, match="float16 ends at 65504"):
        fit_codebook(np.float32([[1e5, -1e5]]), "kmeans", 1, np.array([[0.1, 0.5]]), refq)


@both
@pytest.mark.parametrize("task", TASKS)
def test_a_step_moves_codebooks_and_never_an_index(engine, task):
    params, config = student("bert")
    batch, state, new = BATCH | TASKS[task], {}, params
    for _ in range(3):
        new, state, report = finetune_step(new, state, batch, config, RECIPE, engine)
    still = ("pooler.", "classifier.") if task == "similarity" else ()
    for name in params:
        same = name.endswith(INDEX) or name.startswith(still)
        assert np.array_equal(new[name], params[name]) == same, name
    assert state["step"] == 3
    assert state["moments"].keys() == {
        name for name in params if not name.endswith(INDEX) and not name.startswith(still)
    }
    assert report["learning_rate"] == pytest.approx(5e-3)
    for name, w in used_weights(new, engine).items():
        if name + CODEBOOK in new:
            assert len(np.unique(w)) <= 4
            np.testing.assert_array_equal(w, w.astype(np.float16))


@both
def test_requantized_weights_get_the_gradient_straight_through(engine):
    params, config = student("bert", requantize=True)
    name = "encoder.layer.1.output.dense.weight"
    assert {name, name + CODEBOOK} <= params.keys()
    assert not any(key.endswith(INDEX) for key in params)
    batch = BATCH | TASKS["classification"]
    report, used = finetune_gradients(params, batch, config, {}, engine)
    _, dense = finetune_gradients(used_weights(params, engine), batch, config, {"reduce": "mean"}, engine)
    assert used.keys() == dense.keys() == {key for key in params if not key.endswith(CODEBOOK)}
    for key, g in dense.items():
        np.testing.assert_allclose(used[key], g)
    new, _, _ = finetune_step(params, {}, batch, config, RECIPE, engine)
    for key in (WORDS, name):
        _, codebook, index = refq.ste_requantize(params[key].reshape(1, -1), params[key + CODEBOOK])
        np.testing.assert_array_equal(new[key + CODEBOOK], half(codebook))
        np.testing.assert_array_equal(report["stored"][key + INDEX].reshape(1, -1), index)
        assert (new[key] != params[key]).any()
    np.testing.assert_array_equal(used_weights(new, engine)[name], used_weights(as_stored(new, engine), engine)[name])


def test_the_loss_falls():
    for task, answers in TASKS.items():
        params, config = student("albert")
        state, losses, recipe = {}, [], RECIPE | {"learning_rate": 3e-3, "weight_decay": 0.0, "steps": 20}
        for _ in range(20):
            params, state, report = finetune_step(params, state, BATCH | answers, config, recipe, refq_fast)
            losses.append(report["losses"]["loss"])
        assert losses[-1] < losses[0], task


def test_the_mean_of_states_and_its_gradient():
    random = np.random.default_rng(1)
    hidden, mask, g = random.standard_normal((4, 5, 3)), BATCH["mask"], random.standard_normal((4, 3))
    np.testing.assert_allclose(mean_pooled(hidden, mask)[1], hidden[1, :4].mean(axis=0))
    step = random.standard_normal(hidden.shape)
    numeric = (g * (mean_pooled(hidden + step, mask) - mean_pooled(hidden, mask))).sum()  # it is linear
    assert (mean_pooled_vjp(g, hidden, mask) * step).sum() == pytest.approx(numeric)
