"""refq evaluate: every score by hand, whatever the batches; recorded accuracies; one sentence when refused."""

import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest

import refq
import refq_fast
from refq.files.task import read_task
from refq.files.tokenizer import open_tokenizer
from refq.jobs import model as model_job
from refq.jobs.evaluate import evaluate_model, score_items, summary
from refq.jobs.model import load_model
from refq.jobs.plan import Options
from refq.jobs.quantize import quantize_model
from tests.app.commands import refq as run
from tests.app.tiny import write_model
from tests.support import both

KEYS = ["task", "items", "accuracy", "stderr", "chance", "truncated"]
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
LINES = [
    {"context": "The sun was warm. Tom sat in the", "choices": ["garden.", "sea of ice.", "sun."], "answer": 0},
    {"context": "The sun was warm. Tom sat in the", "choices": ["x", "yy", "zzz", "é"], "answer": 3, "kind": "letters"},
    {"question": "Is ice cold?", "choices": ["no", "yes"], "answer": 1, "kind": "yes"},
    {"context": "Ice is cold.", "question": "Is ice cold?", "choices": ["no", "yes"], "answer": 1, "kind": "yes"},
    {"context_options": ["Tom saw Ben so Tom", "Tom saw Ben so Ben"], "continuation": "ran."}
    | {"choices": ["Tom", "Ben"], "answer": 1},
    {"context": "word " * 80, "choices": ["a", "b" * 40], "answer": 0},
    {"context": "w", "choices": ["a" * 256, "b"], "answer": 0, "kind": "letters"},
]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A seeded model of 256 positions, its copy in 4 bits, and a set that needs every rule."""
    folder = tmp_path_factory.mktemp("models")
    write_model(folder / "float")
    quantize_model(folder / "float", folder / "w4", refq, Options(bits=4))
    (folder / "set.jsonl").write_text("\n".join(map(json.dumps, LINES)), encoding="utf-8")
    return folder


def by_hand(folder, prompt, end, length):
    """log p(end | prompt) / length: one sequence alone, in float64 after the logits."""
    config, params = load_model(folder, refq)
    tokens = open_tokenizer(folder, 258).encode(f"{prompt} {end}")
    count = len(end.encode()) + 1  # a token a byte
    logits = refq.llama_forward(params, np.array([tokens]), config)[0].astype(np.float64)
    logs = logits - logits.max(axis=1, keepdims=True)
    logs = logs - np.log(np.exp(logs).sum(axis=1, keepdims=True))
    return math.fsum(logs[t - 1, tokens[t]] for t in range(-count, 0)) / length


@both
@pytest.mark.parametrize("name", ["float", "w4"])
def test_scores_by_hand(engine, tiny, name):
    folder, items = tiny / name, read_task(tiny / "set.jsonl")[:5]
    tokenizer = open_tokenizer(folder, 258)
    scores, truncated = score_items(engine, load_model(folder, engine), tokenizer, items, "set")
    for item, found in zip(items, scores, strict=True):
        prompts = item.prompts * (len(item.choices) if len(item.prompts) == 1 else 1)
        pairs = zip(prompts, item.choices, strict=True)
        expected = [by_hand(folder, prompt, end, len(end.encode())) for prompt, end in pairs]
        assert np.abs(found - expected).max() < 2e-5, (item, found, expected)
    assert truncated == set()


@both
def test_a_long_context_loses_its_left(engine, tiny):
    """257 tokens of prompt and longest choice remain: the last one is only predicted."""
    items = read_task(tiny / "set.jsonl")[5:]
    tokenizer = open_tokenizer(tiny / "float", 258)
    scores, truncated = score_items(engine, load_model(tiny / "float", engine), tokenizer, items[:1], "set")
    assert truncated == {0}
    context = ("word " * 80).strip()[-(257 - 41) :]
    config, params = load_model(tiny / "float", refq)
    for end, found in zip(items[0].choices, scores[0], strict=True):
        tokens = list(f"{context} {end}".encode())
        logits = refq.llama_forward(params, np.array([tokens[:-1]]), config)[0]
        nats = refq.cross_entropy(logits, np.array(tokens[1:], np.int32))[-len(end) - 1 :]
        assert abs(found + nats.sum(dtype=np.float64) / len(end)) < 2e-5
    result = run("evaluate", tiny / "float", "--task", tiny / "set.jsonl")
    assert result.exit_code == 3
    assert result.stderr == f"refq: {tiny / 'set.jsonl'}: item 7: a choice has 257 tokens; 1..256 are needed\n"


@both
@pytest.mark.parametrize("numbers", [300, 5000, 2**30])
def test_batches_change_nothing(engine, tiny, numbers, monkeypatch):
    items, model = read_task(tiny / "set.jsonl")[:6] * 3, load_model(tiny / "float", engine)
    tokenizer = open_tokenizer(tiny / "float", 258)
    whole, _ = score_items(engine, model, tokenizer, items, "set")
    monkeypatch.setattr(model_job, "NUMBERS", numbers)
    pieces, _ = score_items(engine, model, tokenizer, items, "set")
    assert max(np.abs(a - b).max() for a, b in zip(whole, pieces, strict=True)) < 2e-5


def test_figures_by_hand(tiny):
    items = read_task(tiny / "set.jsonl")[:5]
    report = summary(items, [True, False, True, True, False], {1, 4})
    assert report == {
        "items": 5,
        "accuracy": 0.6,
        "stderr": pytest.approx(math.sqrt(0.6 * 0.4 / 4)),
        "chance": pytest.approx((1 / 3 + 1 / 4 + 3 / 2) / 5),
        "truncated": 2,
        "kinds": {
            "letters": {"items": 1, "accuracy": 0, "stderr": None, "chance": 0.25, "truncated": 1},
            "yes": {"items": 2, "accuracy": 1, "stderr": 0, "chance": 0.5, "truncated": 0},
        },
    }


@pytest.mark.parametrize("engine", ["reference", "fast"])
def test_prints_one_object(tiny, tmp_path, engine):
    path = tmp_path / "five.jsonl"
    path.write_text("\n".join(map(json.dumps, LINES[:6])))
    args = ("evaluate", tiny / "w4", "--task", path, "--engine", engine, "--threads", 1)
    report = json.loads(run(*args, "--json").stdout)
    assert list(report) == [*KEYS, "kinds"]
    assert (report["task"], report["items"], report["truncated"]) == ("five", 6, 1)
    lines = run(*args).stdout.splitlines()
    assert lines[0].split() == KEYS
    assert [line.split()[0] for line in lines[1:]] == ["five", "letters", "yes"]


def test_threads_change_no_bit(tiny):
    def scores(threads):
        program = (
            "import sys; from refq.app.engine import load; from refq.jobs.evaluate import *; "
            "from refq.jobs.model import load_model; "
            f"engine = load('fast', {threads}); items = read_task(sys.argv[2])[:6]; "
            "print([v.tolist() for v in score_items(engine, load_model(sys.argv[1], engine), "
            "open_tokenizer(sys.argv[1], 258), items, '')[0]])"
        )
        command = [sys.executable, "-c", program, str(tiny / "w4"), str(tiny / "set.jsonl")]
        return subprocess.run(command, capture_output=True, check=True).stdout

    if CORES < 2:
        pytest.skip("one core: nothing to compare")
    assert scores(1) == scores(2)


def test_refuses(tiny, tmp_path):
    (tmp_path / "bad.jsonl").write_text('{"question": "a", "choices": ["b", "c"], "answer": 2}\n')
    cases = [
        (("nowhere", "--task", tiny / "set.jsonl"), 2, "nowhere"),
        ((tiny / "float",), 2, "--task"),
        ((tiny / "float", "--task", tmp_path / "missing"), 2, "missing"),
        ((tmp_path, "--task", tmp_path / "bad.jsonl"), 3, "bad.jsonl: line 1: answer is 2; a place among the choices"),
        ((tmp_path, "--task", tiny / "set.jsonl"), 3, "config.json"),
    ]
    for args, code, words in cases:
        result = run("evaluate", *args)
        assert (result.exit_code, result.stdout) == (code, ""), (args, result.output)
        assert words in result.stderr, (args, result.stderr)
        assert len(result.stderr.strip().splitlines()) == 1, result.stderr


# of the first 60 items, with stories260K: right ones, and how many lose context
RECORDED = {
    "arc_challenge": (11, 0),
    "arc_easy": (11, 0),
    "boolq": (44, 13),
    "hellaswag": (14, 0),
    "openbookqa": (20, 0),
    "piqa": (27, 0),
    "winogrande": (30, 0),
}


@pytest.mark.parametrize("name", RECORDED)
def test_real_sets(data, tmp_path, name):
    lines = (data / "commonsense" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()[:60]
    (tmp_path / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    report = evaluate_model(data / "models" / "stories260K", tmp_path / f"{name}.jsonl", refq_fast)
    right, truncated = RECORDED[name]
    assert abs(report["accuracy"] * 60 - right) < 1.5, "one item may lie on the edge"
    assert report["truncated"] == truncated
