"""refq finetune: indices stay, what is trained is what is stored, a kill loses nothing; evaluate says what it said."""

import csv
import json
import os
import random
import re
import signal
import time

import numpy as np
import pytest

import refq as reference
import refq_fast
from refq.files.encoder import open_encoder
from refq.jobs import finetune
from refq.jobs.encoder import encode_texts, load_encoder, padded
from refq.jobs.finetune import Finetuning, finetune_model
from tests.app.commands import HAS_PEAK, digests, interrupted, measured, promised, start
from tests.app.commands import refq as run
from tests.files.encoders import ALBERT, CONFIG, WORDS, albert_name, write_encoder
from tests.files.test_encoder import tensors

OPTIONS = ("--tokens", "8", "--batch", "4", "--save-every", "1", "--lr", "0.01")
KINDS = ("labels", "scores")
QUANTIZED = ("--bits", "2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny BERT, a tiny ALBERT, and a set of each kind."""
    folder = tmp_path_factory.mktemp("finetune")
    for name, raw, rename in (("bert", CONFIG, str), ("albert", ALBERT, albert_name)):
        weights = {key: array * np.float32(0.3) for key, array in tensors(folder, raw).items()}
        write_encoder(folder / name, raw, weights, rename)
    words = random.Random(1)

    def text():
        return " ".join(words.choice(WORDS[4:]) for _ in range(words.randrange(1, 10)))

    labels = [{"sentence": one, "label": int("cat" in one)} for one in (text() for _ in range(14))]
    scores = [{"sentence1": text(), "sentence2": text(), "score": words.randrange(11) / 2} for _ in range(14)]
    for kind, items in zip(KINDS, (labels, scores), strict=True):
        (folder / f"{kind}.jsonl").write_text("\n".join(map(json.dumps, items)))
    return folder


def arguments(folder, out, kind, *more, model="bert"):
    task = folder / f"{kind}.jsonl"
    return ("finetune", folder / model, out, "--task", task, "--val", task, *OPTIONS, *more)


def tuned(*given, **named):
    found = run(*arguments(*given, **named))
    assert found.exit_code == 0, found.stderr
    return given[1]


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
    """One result of each kind, of two bits."""
    out = tmp_path_factory.mktemp("whole")
    return {kind: tuned(folder, out / kind, kind, *QUANTIZED) for kind in KINDS}


def log(out):
    with open(out / "training.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def stored_tensors(out):
    """Every tensor of a result as it lies in the file."""
    checkpoint = open_encoder(out)
    return {name: checkpoint.read(name) for name in checkpoint.tensors}


def decoded(out, bits):
    """The weights of a result, by the words of the format alone: no unpacking of refq."""
    found = stored_tensors(out)
    for name in [name.removesuffix("_index") for name in found if name.endswith("_index")]:
        packed, codebook = found.pop(f"{name}_index"), found.pop(f"{name}_codebook")
        assert codebook.dtype == np.float16
        assert codebook.shape == (1, 1, 2**bits)
        stream = np.unpackbits(packed, axis=-1, bitorder="little")
        stream = stream[:, : stream.shape[1] // bits * bits].reshape(len(packed), -1, bits)
        found[name] = codebook[0, 0].astype(np.float32)[stream @ (1 << np.arange(bits))]
    return found


GRIDS = {
    "float": (),
    "one bit": ("--bits", "1"),
    "the paper's k-means": ("--bits", "3"),
    "the best k-means": ("--bits", "2", "--scheme", "kmeans_optimal"),
    "the paper's linear": ("--bits", "3", "--scheme", "linear_mean", "--reduce", "sum"),
    "rounding": ("--bits", "5", "--scheme", "linear_round"),
    "requantized": ("--bits", "2", "--requantize", "--weight-decay", "0"),
    "eight bits, shared": ("--bits", "8", "--share-layers"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("grid", GRIDS)
def test_the_grid_that_is_trained_is_the_grid_that_is_stored(grid, kind, folder, tmp_path, monkeypatch):
    used, real = {}, finetune.used_weights
    monkeypatch.setattr(finetune, "used_weights", lambda *args: used.update(real(*args)) or real(*args))
    bits = int(dict(zip(GRIDS[grid][::2], GRIDS[grid][1::2], strict=False)).get("--bits", 0))
    out = tuned(folder, tmp_path / "out", kind, *GRIDS[grid])
    for weights in (decoded(out, bits), load_encoder(out)[1]):
        assert weights.keys() == used.keys()
        for name, w in weights.items():
            columns = used[name].shape[-1]  # beyond are the bits that fill up a byte
            np.testing.assert_array_equal(w[..., :columns], used[name], err_msg=name)
            quantized = bits and w.ndim == 2 and not name.startswith("classifier")
            assert not quantized or len(np.unique(used[name])) <= 2**bits
    assert len(stored_tensors(out)) == len(used) + sum(w.ndim == 2 and bits > 0 for w in used.values()) - (
        bits > 0 and kind == "labels"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_training_moves_codebooks_and_never_an_index(kind, folder, whole, tmp_path):
    before = stored_tensors(tuned(folder, tmp_path / "out", kind, *QUANTIZED, "--epochs", "0"))
    after = stored_tensors(whole[kind])
    reached = [name for name in before if kind == "labels" or not name.startswith(("pooler.", "classifier."))]
    for name in before:
        moved = name in reached and not name.endswith("_index")
        assert (before[name] != after[name]).any() == moved, name
    _, weights = load_encoder(folder / "bert")
    for name in ("embeddings.word_embeddings.weight", "encoder.layer.1.output.dense.weight"):
        w = weights[name]
        nearest = np.abs(w[..., None] - before[f"{name}_codebook"][0, 0].astype(np.float32)).min(axis=-1)
        np.testing.assert_array_equal(np.abs(w - decoded(tmp_path / "out", 2)[name][:, : w.shape[1]]), nearest)


def test_the_classifier_stays_float(whole):
    found = stored_tensors(whole["labels"])
    assert found["classifier.weight"].dtype == np.float32
    assert found["classifier.weight"].shape == (2, 16)
    assert all(
        name.endswith(("_index", "_codebook"))
        for name, w in found.items()
        if w.ndim > 1 and name != "classifier.weight"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_evaluate_says_what_the_training_said(kind, folder, whole):
    found = run("evaluate", whole[kind], "--task", folder / f"{kind}.jsonl", "--json")
    assert found.exit_code == 0, found.stderr
    report = json.loads(found.stdout)
    figure = {"labels": "accuracy", "scores": "spearman"}[kind]
    assert float(log(whole[kind])[-1][f"validation_{figure}"]) == pytest.approx(report[figure], rel=1e-8)
    assert (report["task"], report["items"]) == (kind, 14)
    more = {"labels": {"accuracy", "f1", "matthews"}, "scores": {"pearson", "spearman"}}[kind]
    assert report.keys() == {"task", "kind", "items"} | more
    other = run("evaluate", whole[kind], "--task", folder / f"{kind}.jsonl", "--engine", "reference")
    assert f"{report[figure]:.4f}" in other.stdout


def test_the_log_and_the_report(folder, tmp_path):
    found = run(*arguments(folder, tmp_path / "out", "labels", "--json"))
    report = json.loads(found.stdout)
    assert report["written"] is True
    rows = log(tmp_path / "out")
    assert list(rows[0]) == ["step", "loss", "gradient_norm", "learning_rate", "validation_accuracy"]
    assert [row["step"] for row in rows] == [str(n) for n in range(9)], "14 items, 4 a step, twice"
    assert [row["step"] for row in rows if row["validation_accuracy"]] == ["0", "4", "8"]
    assert float(rows[0]["validation_accuracy"]) != float(rows[-1]["validation_accuracy"])
    assert report["last"]["validation_accuracy"] == pytest.approx(float(rows[-1]["validation_accuracy"]), rel=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_command_gives_the_same_bytes_whatever_the_threads(kind, folder, whole, tmp_path):
    assert digests(tuned(folder, tmp_path / "out", kind, *QUANTIZED, "--threads", "1")) == digests(whole[kind])


def test_another_seed_gives_another_model(folder, whole, tmp_path):
    out = tuned(folder, tmp_path / "out", "labels", *QUANTIZED, "--seed", "1", "--epochs", "0")
    same = tuned(folder, tmp_path / "same", "labels", *QUANTIZED, "--seed", "0", "--epochs", "0")
    one, other = stored_tensors(out), stored_tensors(same)
    for name in ("classifier.weight", "embeddings.word_embeddings.weight_codebook"):
        assert (one[name] != other[name]).any()


@pytest.mark.parametrize("stop", [1, 4, 7, 8])
def test_a_run_that_ends_after_any_step_resumes_to_the_same_bytes(stop, folder, whole, tmp_path, monkeypatch):
    given = arguments(folder, tmp_path / "out", "scores", *QUANTIZED)
    interrupted(monkeypatch, stop, *given)
    assert not (tmp_path / "out").exists()
    assert run(*given, "--resume").exit_code == 0
    assert digests(tmp_path / "out") == digests(whole["scores"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


@pytest.mark.parametrize("more", [(), ("--bits", "3", "--requantize"), ("--share-layers",)])
def test_other_runs_resume_too(more, folder, tmp_path, monkeypatch):
    expected = digests(tuned(folder, tmp_path / "whole", "labels", *more))
    given = arguments(folder, tmp_path / "out", "labels", *more)
    interrupted(monkeypatch, 3, *given)
    assert run(*given, "--resume").exit_code == 0
    assert digests(tmp_path / "out") == expected


def test_requantized_weights_leave_their_entries(folder, whole, tmp_path):
    out = tuned(folder, tmp_path / "out", "labels", *QUANTIZED, "--requantize")
    one, other = stored_tensors(out), stored_tensors(whole["labels"])
    assert one.keys() == other.keys()
    name = "encoder.layer.0.output.dense.weight_index"
    assert (one[name] != other[name]).any()


def test_a_killed_process_resumes_to_the_same_bytes(folder, whole, tmp_path):
    given = arguments(folder, tmp_path / "out", "labels", *QUANTIZED)
    process = start(*given)
    deadline = time.monotonic() + 60
    while not (tmp_path / ".out.partial" / "state").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert run(*given, "--resume").exit_code == 0
    assert digests(tmp_path / "out") == digests(whole["labels"])


def test_a_finished_run_is_not_repeated_and_another_is_not_resumed(folder, whole):
    before = os.stat(whole["labels"] / "refq-codebook.safetensors").st_mtime_ns
    found = run(*arguments(folder, whole["labels"], "labels", *QUANTIZED, "--resume"))
    assert found.exit_code == 0
    assert "nothing written" in found.stdout
    assert os.stat(whole["labels"] / "refq-codebook.safetensors").st_mtime_ns == before
    found = run(*arguments(folder, whole["labels"], "labels", "--bits", "3", "--resume"))
    assert found.exit_code == 3
    assert "settings.bits was 2, is 3" in found.stderr
    found = run(*arguments(folder, whole["labels"], "labels", *QUANTIZED))
    assert found.exit_code == 2
    assert "--overwrite" in found.stderr


@pytest.mark.parametrize("more", [(), QUANTIZED], ids=["float", "codebooks"])
def test_a_run_that_diverges_names_the_step_and_a_tensor(more, folder, tmp_path):
    found = run(*arguments(folder, tmp_path / "out", "labels", *more, "--lr", "1e38"))
    assert found.exit_code == 3
    assert re.search(
        r"step \d: .*; the training has diverged, [\w.]+ has grown to .*; a lower --lr helps", found.stderr
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("model", ["bert", "albert"])
def test_both_engines_train_alike(model, kind, folder, tmp_path):
    settings = Finetuning(bits=3, tokens=8, batch=4, lr=1e-4)
    paths = (folder / f"{kind}.jsonl", folder / f"{kind}.jsonl")
    one, other = (
        finetune_model(folder / model, tmp_path / engine.__name__, paths, engine, settings)[1]
        for engine in (reference, refq_fast)
    )
    np.testing.assert_allclose(one[:, :-1], other[:, :-1], rtol=1e-4, atol=1e-6, equal_nan=True)


def test_shared_layers_are_the_last_and_the_model_an_albert(folder, tmp_path):
    out = tuned(folder, tmp_path / "out", "scores", "--share-layers", "--epochs", "0")
    config, params = load_encoder(out)
    assert (config["model_type"], config["shared_layers"], config["num_hidden_layers"]) == ("albert", True, 2)
    before, weights = load_encoder(folder / "bert")
    tokens, mask, types = padded(encode_texts(folder / "bert", before, ["the cat sat", ("a dog", "a cat .")]))
    found = reference.bert_forward(params, tokens, mask, config, None, types)
    for name in [name for name in weights if name.startswith("encoder.layer.0.")]:
        weights[name] = weights[name.replace("layer.0", "layer.1")]
    expected = reference.bert_forward(weights, tokens, mask, before, None, types)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    refused = run(*arguments(folder, tmp_path / "again", "scores", "--share-layers", model="albert"))
    assert refused.exit_code == 2
    assert "already" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_head_that_is_there_is_used(folder, tmp_path):
    first = tuned(folder, tmp_path / "first", "labels")
    task = ("--task", folder / "labels.jsonl", *OPTIONS)
    assert run("finetune", first, tmp_path / "second", *task, *QUANTIZED, "--epochs", "0").exit_code == 0
    one, other = stored_tensors(first), stored_tensors(tmp_path / "second")
    for name in ("classifier.weight", "classifier.bias"):
        np.testing.assert_array_equal(one[name], other[name])
    (tmp_path / "three.jsonl").write_text('{"sentence": "a cat", "label": 2}')
    found = run("finetune", first, tmp_path / "third", "--task", tmp_path / "three.jsonl")
    assert found.exit_code == 2
    assert "the labels 0..2; the model knows 2" in found.stderr
    found = run("evaluate", first, "--task", tmp_path / "three.jsonl")
    assert found.exit_code == 3
    assert "there is a label 2" in found.stderr


def test_items_are_drawn_by_the_seed(folder, tmp_path, monkeypatch):
    seen, real = [], finetune.batch_of
    monkeypatch.setattr(
        finetune, "batch_of", lambda task, numbers: seen.append(numbers.tolist()) or real(task, numbers)
    )
    for seed in (0, 1):
        tuned(folder, tmp_path / str(seed), "scores", "--items", "6", "--seed", seed, "--batch", "4")
    epochs = [sorted(seen[n] + seen[n + 1]) for n in range(0, 8, 2)]
    assert [len(numbers) for numbers in seen] == [4, 2] * 4
    assert epochs[0] == epochs[1] != epochs[2] == epochs[3]
    assert seen[0] != seen[2]


@HAS_PEAK
@pytest.mark.parametrize("more", [(), ("--bits", "5")], ids=["float", "codebooks"])
def test_memory_is_promised(more, folder, tmp_path):
    raw = CONFIG | {"vocab_size": 30000, "hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 4}
    write_encoder(tmp_path / "model", raw, tensors(tmp_path, raw))
    task = ("--task", folder / "scores.jsonl", "--tokens", "12", "--batch", "7", "--epochs", "1")
    said, peak = measured("finetune", tmp_path / "model", tmp_path / "out", *task, *more)
    assert peak < promised(said)


REFUSED = {
    "nothing to requantize": (("--requantize",), 2, "without --bits"),
    "requantized lines": (("--requantize", "--bits", "2", "--scheme", "linear_mean"), 2, "need k-means"),
    "a scheme that is none": (("--bits", "2", "--scheme", "nf4"), 2, "kmeans_optimal"),
    "bits that are none": (("--bits", "9"), 2, "1<=x<=8"),
    "a rate that is none": (("--lr", "nan"), 2, "nan is no number of float32"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case, folder, tmp_path):
    options, code, words = REFUSED[case]
    found = run(*arguments(folder, tmp_path / "out", "labels", *options))
    assert found.exit_code == code
    assert words in found.stderr
    assert list(tmp_path.iterdir()) == []


def test_models_and_sets_that_do_not_fit_are_refused(folder, whole, tmp_path):
    task = ("--task", folder / "labels.jsonl")
    cases = [
        (("finetune", whole["labels"], tmp_path / "out", *task), 3, "quantized already"),
        (("finetune", folder / "bert", tmp_path / "out", *task, "--val", folder / "scores.jsonl"), 3, "of similarity"),
        (("evaluate", folder / "bert", *task), 2, "no classifier"),
        (("evaluate", folder / "bert", "--task", folder / "bert" / "config.json"), 3, "line 1"),
    ]
    for given, code, words in cases:
        found = run(*given)
        assert found.exit_code == code, found.stderr
        assert words in found.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_weight_beyond_float16_is_refused(folder, tmp_path):
    weights = load_encoder(folder / "bert")[1]
    weights["embeddings.word_embeddings.weight"][3, 4] = 1e6
    write_encoder(tmp_path / "bert", CONFIG, weights)
    (tmp_path / "scores.jsonl").write_text((folder / "scores.jsonl").read_text())
    found = run(*arguments(tmp_path, tmp_path / "out", "scores", *QUANTIZED))
    assert found.exit_code == 3
    assert "embeddings.word_embeddings.weight: an entry of a codebook is 1e+06; float16 ends at 65504" in found.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"bert", "scores.jsonl"}


def test_a_model_without_a_pooler_takes_scores_alone(folder, tmp_path):
    weights = {name: w for name, w in load_encoder(folder / "bert")[1].items() if not name.startswith("pooler.")}
    write_encoder(tmp_path / "bert", CONFIG, weights)
    for kind in KINDS:
        (tmp_path / f"{kind}.jsonl").write_text((folder / f"{kind}.jsonl").read_text())
    tuned(tmp_path, tmp_path / "out", "scores", *QUANTIZED)
    found = run(*arguments(tmp_path, tmp_path / "other", "labels"))
    assert found.exit_code == 2
    assert "no pooler" in found.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"bert", "out", "labels.jsonl", "scores.jsonl"}
