"""refq perplexity: the protocol by hand, whatever the batches; the recorded baselines; one sentence when refused."""

import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

import refq
from refq.app.main import main
from refq.files.tokenizer import open_tokenizer
from refq.jobs import model as model_job
from refq.jobs.model import load_model
from refq.jobs.perplexity import cut_windows, perplexity, score
from refq.jobs.plan import Options
from refq.jobs.quantize import quantize_model
from tests.app.commands import HAS_PEAK, measured, promised
from tests.app.tiny import TEXT, write_model
from tests.support import both

KEYS = ["perplexity", "nats_per_token", "bits_per_byte", "tokens_scored", "windows", "seconds", "tokens_per_second"]
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
ENGINES = pytest.mark.parametrize("engine", ["reference", "fast"])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A seeded model, and its copies in 8 and 2 bits."""
    folder = tmp_path_factory.mktemp("models")
    write_model(folder / "float")
    for bits in (8, 2):
        quantize_model(folder / "float", folder / f"w{bits}", refq, Options(bits=bits))
    return folder


def run(*args):
    return CliRunner().invoke(main, ["perplexity", *map(str, args)])


def log_softmax(logits):
    """By math.fsum in float64, one row at a time."""
    rows = logits.astype(np.float64).reshape(-1, logits.shape[-1])
    shifted = rows - rows.max(axis=1, keepdims=True)
    return shifted - np.array([[math.log(math.fsum(np.exp(row)))] for row in shifted])


def test_lines_of_endoftext_divide_documents_and_are_no_text(tiny, tmp_path):
    tokenizer, parts = open_tokenizer(tiny / "float", 258), ["one two three.", "four five.\n\nsix."]
    path = tmp_path / "divided.txt"
    path.write_text(f" {parts[0]}\n<|endoftext|>\n\n<|endoftext|>\n{parts[1]}\n", encoding="utf-8")
    tokens = np.concatenate([tokenizer.encode(part) for part in parts])
    found = perplexity(tiny / "float", path, refq, context=8)
    expected = score(refq, [load_model(tiny / "float", refq)], cut_windows(tokens, 8))[0]
    assert found["windows"] == len(tokens) // 8
    assert found["nats_per_token"] * found["tokens_scored"] == pytest.approx(expected, rel=1e-12)
    path.write_text("<|endoftext|>\n \n", encoding="utf-8")
    assert "it holds no text" in run(tiny / "float", "--text", path).stderr


@both
@pytest.mark.parametrize(("context", "limit"), [(2, 9), (3, 100), (50, None), (256, 700)])
def test_follows_the_protocol(engine, tiny, context, limit):
    config, params = load_model(tiny / "float", refq)
    tokens = open_tokenizer(tiny / "float", 258).encode(TEXT.read_text(encoding="utf-8"))[:limit]
    assert tokens[0] == 256
    assert 256 not in tokens[1:]
    nats, windows, text = [], len(tokens) // context, b""
    for w in range(windows):
        window = tokens[w * context : (w + 1) * context]
        logs = log_softmax(refq.llama_forward(params, np.array([window]), config))
        nats += [-logs[t, window[t + 1]] for t in range(context - 1)]
        text += bytes(window[1:])
    report = perplexity(tiny / "float", TEXT, engine, context, limit)
    mean = math.fsum(nats) / len(nats)
    assert (report["tokens_scored"], report["windows"]) == (len(nats), windows)
    assert abs(report["nats_per_token"] - mean) < 2e-6
    assert abs(report["perplexity"] / math.exp(mean) - 1) < 2e-6
    assert abs(report["bits_per_byte"] - math.fsum(nats) / math.log(2) / len(text)) < 2e-6


@both
def test_distance_from_the_original_by_hand(engine, tiny):
    report = perplexity(tiny / "w2", TEXT, engine, 64, original=tiny / "float")
    tokens = open_tokenizer(tiny / "float", 258).encode(TEXT.read_text(encoding="utf-8"))
    windows = cut_windows(tokens, 64)
    q, p = (
        log_softmax(refq.llama_forward(params, windows, config)[:, :-1])
        for config, params in (load_model(tiny / name, refq) for name in ("w2", "float"))
    )
    assert abs(report["kl"] - (np.exp(p) * (p - q)).sum(axis=1).mean()) < 2e-6
    assert abs(report["kl"] - (np.exp(q) * (q - p)).sum(axis=1).mean()) > 1e-3, "the two directions must differ here"
    assert abs(report["top1_agreement"] - (p.argmax(axis=1) == q.argmax(axis=1)).mean()) < 0.002


@both
def test_nearer_with_more_bits(engine, tiny):
    kl = {
        name: perplexity(tiny / name, TEXT, engine, 64, original=tiny / "float")["kl"] for name in ("w2", "w8", "float")
    }
    assert kl["float"] == 0
    assert 0 < kl["w8"] < 1e-3 < 0.1 < kl["w2"]


@both
@pytest.mark.parametrize("numbers", [2000, 40_000, 2**30])
def test_pieces_change_nothing(engine, tiny, numbers, monkeypatch):
    models = [load_model(tiny / name, engine) for name in ("w8", "float")]
    windows = cut_windows(list(TEXT.read_bytes()), 32)
    whole = score(engine, models, windows)
    monkeypatch.setattr(model_job, "NUMBERS", numbers)
    difference = np.abs(np.subtract(score(engine, models, windows), whole))
    assert (difference <= [1e-3, 1e-4, 2]).all(), difference


def test_memory_is_bounded_by_shapes():
    wide = {
        "vocab_size": 128_000,
        "intermediate_size": 14336,
        "num_attention_heads": 32,
        "max_position_embeddings": 8192,
    }
    for length in (255, 8191):
        rows, step = model_job.pieces([wide], length)
        assert rows * step * max(128_000, 32 * length) <= model_job.NUMBERS
        assert rows >= 1
        assert step >= 1


@HAS_PEAK
def test_a_long_text_is_told_its_memory(tiny, tmp_path):
    (tmp_path / "long.txt").write_text("abcdefgh " * 100_000, encoding="utf-8")
    arguments = ("perplexity", tiny / "float", "--tokens", 512, "--engine", "reference", "--text")
    said, peak = measured(*arguments, tmp_path / "long.txt")
    assert 220 * 899_999 < promised(said) < 500e6
    assert f"to cut {tmp_path / 'long.txt'} into tokens" in said
    short, base = measured(*arguments, TEXT)
    assert "memory" not in short
    assert peak < base + promised(said)


@ENGINES
def test_prints_one_object(engine, tiny):
    result = run(tiny / "float", "--text", TEXT, "--context", 128, "--engine", engine, "--json")
    assert result.exit_code == 0, result.output
    assert list(json.loads(result.stdout)) == KEYS
    result = run(tiny / "w8", "--text", TEXT, "--original", tiny / "float", "--engine", engine, "--json")
    assert list(json.loads(result.stdout)) == [*KEYS, "kl", "top1_agreement"]


def test_prints_a_table(tiny):
    result = run(tiny / "w8", "--text", TEXT, "--context", 128, "--original", tiny / "float")
    assert [line[:15].strip() for line in result.stdout.splitlines()] == [
        *("perplexity", "nats per token", "bits per byte", "kl", "top1 agreement", "scored")
    ]


@ENGINES
def test_threads_change_no_bit(engine, tiny):
    def nats(threads):
        args = ["perplexity", tiny / "w8", "--text", TEXT, "--engine", engine, "--threads", threads, "--json"]
        program = [sys.executable, "-c", "from refq.app.main import main; main()", *map(str, args)]
        return json.loads(subprocess.run(program, capture_output=True, check=True).stdout)["nats_per_token"]

    if CORES < 2:
        pytest.skip("one core: nothing to compare")
    assert nats(1) == nats(2)


def test_a_byte_order_mark_is_no_text(tiny, tmp_path):
    text = b"Once upon a time there was a little girl. " * 20
    found = []
    for name, start in (("plain", b""), ("marked", b"\xef\xbb\xbf")):
        (tmp_path / name).write_bytes(start + text)
        result = run(tiny / "float", "--text", tmp_path / name, "--context", 64, "--json")
        found.append(json.loads(result.stdout)["perplexity"])
    assert found[0] == found[1]


def test_refuses_what_cannot_be_scored(tiny, tmp_path):
    (tmp_path / "latin").write_bytes(b"caf\xe9")
    (tmp_path / "short").write_text("short")
    (tmp_path / "empty").write_text("")
    text = ("--text", TEXT)
    cases = [
        (("nowhere", *text), 2, "nowhere"),
        ((tiny / "float", "--text", tmp_path / "missing"), 2, "missing"),
        ((tiny / "float", "--text", tmp_path), 2, "is a directory"),
        ((tiny / "float",), 2, "--text"),
        ((tiny / "float", "--text", tmp_path / "latin"), 3, "latin: byte 3 is not UTF-8"),
        (
            (tiny / "float", "--text", tmp_path / "short"),
            3,
            "short: too short: 6 tokens, and one window needs 256; lower --context",
        ),
        ((tiny / "float", "--text", tmp_path / "empty"), 3, "empty: it holds no text"),
        ((tiny / "float", *text, "--context", 257), 2, "context=257; this model takes 2..256"),
        ((tiny / "float", *text, "--context", 1), 2, "--context"),
        ((tiny / "float", *text, "--tokens", 10**6), 2, "--tokens 1000000; "),
        ((tiny / "float", *text, "--tokens", 255), 2, "--tokens 255 is less than one window of 256; lower --context"),
        ((tmp_path, *text), 3, "config.json"),
    ]
    for args, code, words in cases:
        result = run(*args)
        assert (result.exit_code, result.stdout) == (code, ""), (args, result.output)
        assert words in result.stderr, (args, result.stderr)
        assert len(result.stderr.strip().splitlines()) == 1, result.stderr


def test_refuses_an_original_of_another_tokenizer(tiny, tmp_path):
    write_model(tmp_path / "other")
    path = tmp_path / "other" / "tokenizer.json"
    raw = json.loads(path.read_text())
    raw["post_processor"] = None
    path.write_text(json.dumps(raw))
    result = run(tiny / "w8", "--text", TEXT, "--original", tmp_path / "other")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "the same tokenizer" in result.stderr


@ENGINES
@pytest.mark.parametrize(
    ("text", "baseline", "bits"), [("tinystories", 3.8368, 0.9245), ("wikitext-2", 226.58, 5.1050)]
)
def test_recorded_baselines(data, engine, text, baseline, bits):
    folder = data / "models" / "stories260K"
    args = ("--text", data / "text" / text / "valid.txt", "--tokens", 20_000, "--engine", engine, "--json")
    report = json.loads(run(folder, *args).stdout)
    assert abs(report["perplexity"] - baseline) < (0.0005 if text == "tinystories" else 0.005)
    assert abs(report["bits_per_byte"] - bits) < 0.00006
    assert (report["windows"], report["tokens_scored"]) == (78, 78 * 255)


@ENGINES
def test_fewer_bits_cost_a_little(tiny, engine):
    args = (tiny / "w8", "--text", TEXT, "--context", 64, "--tokens", 1280, "--engine", engine, "--json")
    exact, *others = (
        json.loads(run(*args, *more).stdout)["nats_per_token"]
        for more in (
            (), ("--head-bits", 8), ("--cache-bits", 8), ("--activations", 15), ("--activations", 4), ("--head-bits", 2)
        )
    )  # fmt: skip
    near, cached, finest, *coarse = (abs(nats - exact) for nats in others)
    assert 0 < near < 0.01
    assert 0 < cached < 0.01
    assert 0 < finest < 1e-3
    assert min(coarse) > 10 * finest
