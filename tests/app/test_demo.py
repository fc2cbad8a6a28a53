"""refq demo: runs with nothing given, says that its model is random, and leaves models that the other verbs read."""

import hashlib
import json
import pathlib
import shlex
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from refq.app.main import main
from refq.files.checkpoint import open_checkpoint
from refq.files.safetensors import read_header
from refq.jobs import demo

DIGEST = "550202f0365b7ea78f3a269ab7b6a9a19e4873b9f053d6a6def25f988dabd8ca"
ENGINES = pytest.mark.parametrize("engine", ["reference", "fast"])


def run(*args):
    return CliRunner().invoke(main, list(map(str, args)))


@ENGINES
def test_runs_with_no_argument(engine, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run("demo", "--engine", engine)
    assert result.exit_code == 0, result.output
    assert "random" in result.stdout
    assert "refq-demo/w4" in result.stdout
    assert "random" in pathlib.Path("refq-demo/README.md").read_text()
    assert sorted(path.name for path in pathlib.Path("refq-demo").iterdir()) == [
        "README.md",
        "original",
        "w2",
        "w4",
        "w8",
    ]
    for bits in (8, 4, 2):
        checkpoint = open_checkpoint(f"refq-demo/w{bits}")
        assert {scheme.bits for scheme in checkpoint.schemes.values()} == {bits}
        assert {scheme.group_size for scheme in checkpoint.schemes.values()} == {32}
    assert "at most" not in result.stderr
    assert "means nothing" in result.stdout
    header = next(line for line in result.stdout.splitlines() if line.startswith("model  "))
    assert header.index("KL to original") < header.index("perplexity")


@pytest.mark.parametrize("found", [True, False])
def test_the_hints_can_be_pasted(found, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: found and "/bin/refq" or None)
    said = run("demo", "--out", tmp_path / "the demo", "--engine", "reference").stdout
    hints = [shlex.split(line) for line in said.splitlines() if line.startswith("  ")]
    start = ["refq"] if found else [sys.executable, "-m", "refq"]
    assert [hint[: len(start) + 1] for hint in hints] == [[*start, "inspect"], [*start, "perplexity"]]
    for hint in hints:
        assert run(*hint[len(start) :]).exit_code == 0


def test_a_second_demo_replaces_the_first_and_nothing_else(tmp_path):
    arguments = ("demo", "--out", tmp_path / "d", "--engine", "reference", "--json")
    first, second = (json.loads(run(*arguments).stdout)["results"] for _ in range(2))
    assert [row["bytes"] for row in first] == [row["bytes"] for row in second]
    (tmp_path / "d" / "precious.txt").write_text("")
    assert run(*arguments).exit_code == 2
    (tmp_path / "d" / "precious.txt").unlink()
    (tmp_path / "d" / "README.md").write_text("my notes")
    assert run(*arguments).exit_code == 2
    assert (tmp_path / "d" / "README.md").read_text() == "my notes"


def test_the_figures_stand_in_order(tmp_path):
    result = run("demo", "--out", tmp_path / "d", "--json", "--engine", "reference")
    report = json.loads(result.stdout)
    assert "random" in report["model"]
    rows = {row["name"]: row for row in report["results"]}
    assert list(rows) == ["original", "w8", "w4", "w2"]
    assert 0 == rows["original"]["kl"] < rows["w8"]["kl"] < rows["w4"]["kl"] < rows["w2"]["kl"]
    assert rows["original"]["top1_agreement"] == 1
    assert rows["original"]["bytes"] > rows["w8"]["bytes"] > rows["w4"]["bytes"] > rows["w2"]["bytes"]
    for name, row in rows.items():
        assert row["bytes"] == (tmp_path / "d" / name / "model.safetensors").stat().st_size


def test_model_is_the_same_everywhere(tmp_path):
    demo.write_model(tmp_path / "m")
    path = tmp_path / "m" / "model.safetensors"
    header = read_header(path)
    assert hashlib.sha256(path.read_bytes()[header.size :]).hexdigest() == DIGEST
    assert json.loads(header.metadata["refq"])["run"]["seed"] == demo.SEED
    tensors = load_file(tmp_path / "m" / "model.safetensors")
    assert all(tensor.dtype == np.float32 for tensor in tensors.values())
    q = tensors["model.layers.0.self_attn.q_proj.weight"]
    assert abs(q.std() * 8 - 1) < 0.05, "variance 1 / 64"
    assert len(np.unique(q)) > q.size * 0.99


def test_tokenizer_is_bytes(tmp_path):
    demo.write_model(tmp_path / "m")
    tokenizer = Tokenizer.from_file(str(tmp_path / "m" / "tokenizer.json"))
    text = "Zoë\n\t 漢字 \x00\x7f\xa0\xad🙂"
    assert tokenizer.encode(text).ids == [256, *text.encode()]
    assert tokenizer.decode(tokenizer.encode(text).ids) == text
    assert all(tokenizer.decode([b]) == chr(b) for b in range(128))


def test_refuses_what_exists_and_leaves_no_half(tmp_path, monkeypatch):
    (tmp_path / "d").mkdir()
    result = run("demo", "--out", tmp_path / "d")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "exists" in result.stderr

    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "quantize_model", fail)
    assert run("demo", "--out", tmp_path / "e").exit_code == 130
    assert not (tmp_path / "e").exists()
