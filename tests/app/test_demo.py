"""refq demo: the figures are those of the verbs, the words follow the figures, and nothing is left half."""

import itertools
import json
import os
import pathlib
import shlex
import shutil
import sys

import pytest

from refq.app.demo_text import models, picture, sentences
from refq.files.checkpoint import open_checkpoint
from refq.files.tokenizer import open_tokenizer
from refq.jobs import demo, pretrain
from refq.jobs.distillation import Distillation
from refq.world.stories import story
from tests.app.commands import digests, small
from tests.app.commands import refq as run

NAMES = [f"w{bits}-{kind}" for bits in (4, 2) for kind in ("ptq", "kd-qat", "ov-freeze")]
PACKAGED = pathlib.Path(demo.PLAN.model)
ENGINES = pytest.mark.parametrize("engine", ["reference", "fast"])


def questions(path, every):
    """A part of the package's questions, of all kinds."""
    with open(demo.PLAN.task, encoding="utf-8") as file:
        path.write_text("".join(itertools.islice(file, 0, None, every)))
    return str(path)


@pytest.fixture(scope="module")
def little(tmp_path_factory):
    """A demo of seconds: a random model that reads the package's words, few stories, two steps."""
    folder = tmp_path_factory.mktemp("little")
    model = small(folder / "model", vocab_size=1024, max_position_embeddings=512, bos_token_id=0, eos_token_id=1)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(PACKAGED / name, model / name)
    training = Distillation(steps=2, batch=2, context=16, eval_every=1)
    return demo.Plan(str(model), questions(folder / "some.jsonl", 100), (8, 6), {4: training, 2: training})


@pytest.fixture(autouse=True)
def _little(little, monkeypatch):
    monkeypatch.setattr(demo, "PLAN", little)


@pytest.fixture(scope="module")
def whole(little, tmp_path_factory):
    """A demo and its report."""
    out = tmp_path_factory.mktemp("whole") / "d"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "PLAN", little)
        found = run("demo", "--out", out, "--json", "--engine", "reference")
    assert found.exit_code == 0, found.stderr
    return out, json.loads(found.stdout)


@ENGINES
def test_runs_with_no_argument(engine, tmp_path, monkeypatch, no_page):
    monkeypatch.chdir(tmp_path)
    found = run("demo", "--engine", engine)
    assert found.exit_code == 0, found.stderr
    names = sorted([*NAMES, "README.md", "text", "signal-w2.csv", "signal-w4.csv"])
    assert sorted(os.listdir("refq-demo")) == names
    assert os.listdir() == ["refq-demo"]
    assert sorted(os.listdir("refq-demo/text")) == ["train.txt", "valid.txt"]
    for name in NAMES:
        assert {scheme.bits for scheme in open_checkpoint(f"refq-demo/{name}").schemes.values()} == {int(name[1])}
    readme = pathlib.Path("refq-demo/README.md").read_text()
    for part in found.stdout.split("\n\n")[:-1]:
        assert part.strip() in readme
    for text in ("full precision", "W2 KD-QAT, o and v frozen", "W4: quantizing", "the gradients of q, k, gate"):
        assert text in found.stdout
    assert "no page" in found.stderr
    assert ".html" not in found.stdout


def test_the_page_where_its_packages_are(tmp_path):
    for package in ("matplotlib", "jinja2"):
        pytest.importorskip(package, reason=f"{package} is not installed: no page; pip install 'refq[report]'")
    said = run("demo", "--out", tmp_path / "d", "--engine", "reference").stdout
    for bits in (4, 2):
        assert str(tmp_path / "d" / f"signal-w{bits}.html") in said
        assert f"signal-w{bits}.csv" in (tmp_path / "d" / f"signal-w{bits}.html").read_text()


@pytest.mark.parametrize("found", [True, False])
def test_the_hints_can_be_pasted(found, little, tmp_path, monkeypatch, no_page):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("shutil.which", lambda name: found and "/bin/refq" or None)
    said = run("demo", "--out", tmp_path / "the demo", "--engine", "reference").stdout
    hints = [shlex.split(line) for line in said.partition("To go on:")[2].splitlines() if line]
    start = ["refq"] if found else [sys.executable, "-m", "refq"]
    verbs = ("generate", "generate", "inspect", "perplexity", "evaluate", "distill")
    assert [hint[: len(start) + 1] for hint in hints] == [[*start, verb] for verb in verbs]
    for hint in hints:
        done = run(*hint[len(start) :], *(["--context", "16"] if "distill" in hint else []))
        assert done.exit_code == 0, done.stderr


def test_the_figures_are_those_of_the_verbs(whole, little):
    out, report = whole
    rows = {row["name"]: row for row in report["results"]}
    assert list(rows) == ["original", *NAMES]
    assert rows["original"]["kl"] == 0
    for name in ("w4-ptq", "w2-ov-freeze"):
        text = ("--text", out / "text" / "valid.txt", "--original", little.model)
        alone = json.loads(run("perplexity", out / name, *text, "--engine", "reference", "--json").stdout)
        alone |= json.loads(
            run("evaluate", out / name, "--task", little.task, "--engine", "reference", "--json").stdout
        )
        for key in ("perplexity", "kl", "accuracy", "stderr", "tokens_scored", "items"):
            assert rows[name][key] == alone[key]
        assert rows[name]["bytes"] == (out / name / "model.safetensors").stat().st_size
    assert rows["w4-ptq"]["bytes"] > rows["w2-ptq"]["bytes"]
    assert rows["w4-ptq"]["kl"] < rows["w2-ptq"]["kl"]


def test_the_students_are_those_of_the_verbs(whole, little, tmp_path):
    out, _ = whole
    shared = (little.model, "--engine", "reference", "--bits", "2", "--group-size", "channel")
    assert run("quantize", shared[0], tmp_path / "ptq", *shared[1:]).exit_code == 0
    assert digests(tmp_path / "ptq") == digests(out / "w2-ptq")
    steps = ("--steps", "2", "--batch", "2", "--context", "16", "--eval-every", "1")
    text = ("--text", out / "text" / "train.txt")
    for name, freeze in (("w2-kd-qat", "none"), ("w2-ov-freeze", "o,v")):
        done = run("distill", shared[0], tmp_path / name, *shared[1:], *text, *steps, "--freeze", freeze)
        assert done.exit_code == 0, done.stderr
        assert digests(tmp_path / name) == digests(out / name)


def test_stories_are_not_those_of_pretraining(whole, little):
    out, _ = whole
    settings = pretrain.Pretraining()
    seen = settings.steps * pretrain.STORIES, pretrain.HELD_OUT + pretrain.STORIES * pretrain.WINDOWS
    assert settings.seed != demo.SEED
    assert max(seen) < demo.FIRST < demo.FIRST + little.stories[0] < demo.HELD_OUT
    trained, held_out = ((out / "text" / name).read_text() for name in ("train.txt", "valid.txt"))
    trained, held_out = trained.split("\n<|endoftext|>\n"), held_out.split("<s>")
    assert trained == [story(1, 2**41 + n) for n in range(8)]
    assert held_out == [story(1, 2**42 + n) for n in range(6)]
    cut = open_tokenizer(PACKAGED, 1024).encode
    assert cut("<s>".join(held_out)) == [token for text in held_out for token in cut(text)], "as the model reads them"


def test_a_second_demo_replaces_the_first_and_nothing_else(whole, little, tmp_path, no_page):
    out, arguments = tmp_path / "d", ("demo", "--out", tmp_path / "d", "--engine", "reference")
    shutil.copytree(whole[0], out)
    assert run(*arguments).exit_code == 0
    for name in (*NAMES, "text"):
        assert digests(out / name) == digests(whole[0] / name)
    (out / "precious.txt").write_text("")
    assert run(*arguments).exit_code == 2
    (out / "precious.txt").unlink()
    (out / "README.md").write_text("my notes")
    assert run(*arguments).exit_code == 2
    assert (out / "README.md").read_text() == "my notes"
    (out / "README.md").unlink()
    assert run(*arguments).exit_code == 2


@pytest.mark.parametrize("at", ["quantize_model", "compare_signals", "evaluate_model"])
def test_an_interrupt_leaves_what_was_there(at, whole, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, at, fail)
    shutil.copytree(whole[0], tmp_path / "d")
    before = digests(tmp_path / "d" / "w4-ptq")
    for name in ("d", "e"):
        assert run("demo", "--out", tmp_path / name, "--engine", "reference").exit_code == 130
    assert os.listdir(tmp_path) == ["d"]
    assert sorted(os.listdir(tmp_path / "d")) == sorted(os.listdir(whole[0]))
    assert digests(tmp_path / "d" / "w4-ptq") == before


def test_what_a_kill_has_left_is_removed(tmp_path, no_page):
    (tmp_path / ".d.partial" / "model" / "text").mkdir(parents=True)
    (tmp_path / ".d.partial" / "model" / "half").write_text("")
    assert run("demo", "--out", tmp_path / "d", "--engine", "reference").exit_code == 0
    assert os.listdir(tmp_path) == ["d"]
    assert "half" not in os.listdir(tmp_path / "d")


@pytest.mark.parametrize("kind", ["directory", "file", "no parent"])
def test_refuses_what_exists(kind, tmp_path):
    out = tmp_path / "d"
    if kind == "directory":
        out.mkdir()
    elif kind == "file":
        out.write_text("")
    else:
        out = out / "e"
    found = run("demo", "--out", out)
    assert (found.exit_code, found.stdout) == (2, "")
    assert "exist" in found.stderr
    assert not any(path.name.endswith(".partial") for path in tmp_path.iterdir())


def _report(perplexities, kl, accuracy, distances, bits=4):
    names = ["original", *(f"w{bits}-{kind}" for kind in ("ptq", "kd-qat", "ov-freeze"))]
    rows = zip(names, perplexities, [0, *kl], accuracy, strict=True)
    results = [
        dict(zip(("name", "perplexity", "kl", "accuracy"), row, strict=True))
        | {"stderr": 0.01, "bits": bits, "bytes": 1000}
        for row in rows
    ]
    gradients = {key: {"plain": [plain], "frozen": [frozen]} for key, (plain, frozen) in distances.items()}
    shares = {"start_ratio": 0.125, "plain_ratio": 20.0, "frozen_ratio": 1.05}
    return {
        "results": results,
        "gradients": {bits: gradients | {"compared": ["q", "k"], "projections": {"q": shares, "k": shares}}},
    }


WORDS = {
    "as the paper says": ((0.2, 0.1, 0.05), {"distance": (1.2, 1.1), "run": (1.3, 1.1)}, "o and v", "o and v"),
    "the opposite": ((0.2, 0.05, 0.1), {"distance": (1.1, 1.2), "run": (1.1, 1.3)}, "nothing", "nothing"),
    "no difference": ((0.2, 0.1, 0.103), {"distance": (1.1, 1.12), "run": (1.1, 1.1)}, None, None),
}


ORDER = {
    "o and v": "nearer with o and v frozen",
    "nothing": "nearer with nothing frozen",
    None: "equally near with both",
}


@pytest.mark.parametrize("case", WORDS)
def test_words_follow_the_figures(case):
    kl, distances, quality, gradients = WORDS[case]
    first, second = sentences(_report((2.0, 2.2, 2.1, 8.0), kl, (0.8, 0.7, 0.75, 0.81), distances))
    assert "by +10% and -10.0 points (standard error 1.0)" in first
    assert "with nothing frozen it is +5.00% and -5.0 points, with o and v frozen +300% and +1.0 points" in first
    assert f"training ended {ORDER[quality]}." in first
    assert "quantizing alone" not in first
    assert f": {ORDER[gradients]} at the end, {ORDER[gradients]} over the run." in second


def test_training_that_has_not_helped_is_told():
    report = _report((2, 2.1, None, 2.2), (0.1, 0.2, 0.3), (0.8,) * 4, {"distance": (1, 1), "run": (1, 1)})
    assert "neither nearer than quantizing alone" in sentences(report)[0]
    assert "infinite and +0.0 points" in sentences(report)[0]
    assert "infinite" in models(report["results"])


def test_the_picture_is_shaded():
    line = picture(_report((1,) * 4, (0,) * 3, (0.5,) * 4, {})["gradients"]).splitlines()[1]
    assert line.split() == ["q", "0.12", "▓", "20", "█", "1.05"], "8 times less, 20 times more, and nearly equal"


@pytest.mark.skipif(
    not (PACKAGED / "model.safetensors").exists(), reason="the package's model is not there: it is being trained"
)
def test_the_story_on_the_model_of_the_package(tmp_path, monkeypatch, no_page):
    few = Distillation(steps=10, batch=4, lr=2e-3, scale_lr=2e-4, eval_every=10)
    plan = demo.Plan(str(PACKAGED), questions(tmp_path / "some.jsonl", 10), (300, 30), {4: few, 2: few})
    monkeypatch.setattr(demo, "PLAN", plan)
    found = run("demo", "--out", tmp_path / "d", "--json")
    assert found.exit_code == 0, found.stderr
    rows = {row["name"]: row for row in json.loads(found.stdout)["results"]}
    assert rows["original"]["accuracy"] > rows["original"]["chance"] + 0.3
    assert rows["original"]["perplexity"] < 3
    assert rows["w4-ptq"]["kl"] < 0.05
    assert rows["w2-ptq"]["kl"] > 20 * rows["w4-ptq"]["kl"]
    assert rows["w2-kd-qat"]["kl"] < 0.5 * rows["w2-ptq"]["kl"]
    assert rows["w2-ov-freeze"]["kl"] < 0.5 * rows["w2-ptq"]["kl"]
