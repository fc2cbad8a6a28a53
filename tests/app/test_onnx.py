"""refq export --to onnx, and refq import of what it wrote: the same numbers; whole or absent."""

import json
import os
import signal
import sys

import numpy as np
import pytest

import refq
from refq.files.checkpoint import open_checkpoint
from refq.jobs import output
from refq.jobs.model import load_model
from refq.jobs.onnx import open_model
from refq.jobs.targets import Facts
from refq.jobs.targets.onnx import target
from tests.app.commands import digests, start
from tests.app.commands import refq as run
from tests.app.test_kill import KILLER, number_of_calls
from tests.app.tiny import write_model

pytest.importorskip("onnx", reason="onnx is not installed")
REFERENCE = ("--engine", "reference")
GRIDS = {
    "symmetric": ("--group-size", 32),
    "asymmetric": ("--group-size", 16, "--asymmetric"),
    "channel": ("--group-size", "channel", "--bits", 8),
    "some": ("--group-size", 64, "--fallback", "channel", "--bits", 2),
    "kept": ("--keep", "*mlp*"),
}
REFUSED = {
    "3 bits": (("--bits", 3), "layer model.layers.0.self_attn.q_proj: it has 3 bits; 4 are due"),
    "groups of 8": (("--group-size", 8), "its groups of 8 are no multiple of 16"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """`float`, a model; quantized ones by the names of GRIDS; `sym.onnx`."""
    found = tmp_path_factory.mktemp("onnx")
    write_model(found / "float")
    for name, options in GRIDS.items():
        assert run("quantize", found / "float", found / name, *options, *REFERENCE).exit_code == 0
    assert run(*export(found / "symmetric", found / "sym.onnx")).exit_code == 0
    return found


def export(model, out, *more):
    return ("export", model, out, "--to", "onnx", *more, *REFERENCE)


def files(folder):
    """File name -> bytes of the graph and its weights."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("name", GRIDS)
def test_there_and_back(folder, tmp_path, name):
    done = run(*export(folder / name, tmp_path / "it.onnx"))
    assert "lossless: " in done.stdout, done.stderr
    done = run("import", tmp_path / "it.onnx", tmp_path / "back", *REFERENCE)
    assert "lossless: " in done.stdout, done.stderr
    here, there = open_checkpoint(folder / name), open_checkpoint(tmp_path / "back")
    assert there.tensors.keys() == here.tensors.keys()
    for tensor in here.tensors:
        np.testing.assert_array_equal(there.read(tensor), here.read(tensor), tensor)
    for beside in ("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        before, after = (json.loads((place / beside).read_text()) for place in (folder / name, tmp_path / "back"))
        if name == "some":  # one group of 64 inputs is one a row
            before.pop("quantization_config", None), after.pop("quantization_config", None)
        assert after == before


def test_floats_there_and_back(folder, tmp_path):
    assert "no layer is quantized" in run(*export(folder / "float", tmp_path / "it.onnx")).stdout
    assert run("import", tmp_path / "it.onnx", tmp_path / "back", *REFERENCE).exit_code == 0
    expected, found = (load_model(place, refq)[1] for place in (folder / "float", tmp_path / "back"))
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, name)


def test_the_same_bytes_of_both_engines(folder, tmp_path):
    for engine in ("fast", "reference"):
        assert run(*export(folder / "some", tmp_path / engine / "x.onnx")[:-1], engine).exit_code == 2  # no directory
        (tmp_path / engine).mkdir()
        assert run(*export(folder / "some", tmp_path / engine / "x.onnx")[:-1], engine).exit_code == 0
    assert files(tmp_path / "fast") == files(tmp_path / "reference")


@pytest.mark.parametrize("name", REFUSED)
def test_what_it_cannot_hold(folder, tmp_path, name):
    options, sentence = REFUSED[name]
    assert run("quantize", folder / "float", tmp_path / "q", *options, *REFERENCE).exit_code == 0
    done = run(*export(tmp_path / "q", tmp_path / "it.onnx"))
    assert done.exit_code == 2
    assert sentence in done.stderr
    assert "--requantize" in done.stderr
    assert os.listdir(tmp_path) == ["q"]
    done = run(*export(tmp_path / "q", tmp_path / "it.onnx", "--requantize"))
    assert "requantized" in done.stdout
    assert "0 layers lossless, 14 requantized" in done.stdout
    found = json.loads(run(*export(tmp_path / "q", tmp_path / "it.onnx", "--requantize", "--resume", "--json")).stdout)
    assert not found["written"]
    assert {one["sqnr_db"] > 10 for one in found["requantized"].values()} == {True}


def facts(**changes):
    """Of a layer of 4 bits that any format holds."""
    return Facts((8, 512), 4, 32, 0, 0, True, 11, True, True)._replace(**changes)


@pytest.mark.parametrize(
    ("found", "expected", "fault"),
    [
        (facts(), (4, 32, True, 32), None),
        (facts(size=512), (4, None, True, 256), None),
        (facts(size=172, shape=(8, 172)), (4, None, True, 256), None),
        (facts(size=40, shape=(8, 40)), (4, None, True, 64), None),
        (facts(size=1000, shape=(8, 1000)), (4, None, True, 256), None),
        (facts(size=96, shape=(8, 288), bits=8, lowest=-128, highest=127), (8, 32, False, 32), None),
        (facts(bits=2, lowest=-2), (2, 32, False, 32), None),
        (facts(bits=5), (8, 32, True, 32), "it has 5 bits; 8 are due"),
        (facts(size=24, shape=(8, 240)), (4, 16, True, 16), "its groups of 24 are no multiple of 16"),
        (facts(size=20, shape=(8, 100)), (4, None, True, 256), "its groups of 20 are no multiple of 16"),
        (facts(ordered=False), (4, 32, True, 32), "its columns are not in the order of the inputs (desc_act)"),
        (facts(whole=False), (4, 32, False, 32), "a bias is no whole multiple of its scale: it has no zero point"),
        (facts(highest=8), (4, 32, False, 32), "zero point 8 is not on its grid of -8..7"),
    ],
)
def test_blocks(found, expected, fault):
    schemes = target().schemes({"layer": found})
    assert schemes == {"layer": expected}
    assert target().fault(found, schemes["layer"]) == fault


def test_codebooks(folder, tmp_path):
    done = run("quantize", folder / "float", tmp_path / "book", "--method", "kmeans", "--bits", 2, *REFERENCE)
    assert done.exit_code == 0, done.stderr
    assert "codebooks" in run(*export(tmp_path / "book", tmp_path / "it.onnx")).stderr


@pytest.mark.parametrize("name", ["gptq_v2", "awq", "mlx"])
def test_directories_of_others(folder, tmp_path, name):
    assert run("export", folder / "symmetric", tmp_path / "other", "--to", name, *REFERENCE).exit_code == 0
    assert "lossless" in run(*export(tmp_path / "other", tmp_path / "it.onnx")).stdout
    found, expected = (open_model(path, refq)[0] for path in (tmp_path / "it.onnx", folder / "sym.onnx"))
    assert [scheme.group_size for scheme in found.schemes.values()] == [32] * 14
    for tensor in (name for name in expected.tensors if name.endswith("_Q4")):
        np.testing.assert_array_equal(found.read(tensor), expected.read(tensor))


def test_without_the_package(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    done = run(*export(folder / "symmetric", tmp_path / "it.onnx"))
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1].endswith("pip install 'refq[onnx]' brings it")
    assert os.listdir(tmp_path) == []
    assert run("import", folder / "sym.onnx", tmp_path / "back", *REFERENCE).exit_code == 0


def test_what_is_there_stays(folder, tmp_path):
    out, data = tmp_path / "it.onnx", tmp_path / "it.onnx.data"
    assert "ends in .onnx" in run(*export(folder / "symmetric", tmp_path / "it")).stderr
    data.write_text("mine")
    done = run(*export(folder / "symmetric", out))
    assert done.exit_code == 2
    assert "it.onnx.data exists" in done.stderr
    assert (os.listdir(tmp_path), data.read_text()) == (["it.onnx.data"], "mine")
    assert run(*export(folder / "symmetric", out, "--overwrite")).exit_code == 0
    before = files(tmp_path)
    assert run(*export(folder / "asymmetric", out)).exit_code == 2
    assert "belongs to another run" in run(*export(folder / "asymmetric", out, "--resume")).stderr
    assert files(tmp_path) == before
    assert run(*export(folder / "asymmetric", out, "--overwrite")).exit_code == 0
    assert files(tmp_path) != before
    assert "is an option of --to gguf" in run(*export(folder / "symmetric", out, "--type", "f16")).stderr
    assert "--requantize is of directories" in run("import", out, tmp_path / "x", "--requantize").stderr


def test_a_graph_of_others(tmp_path):
    import onnx

    graph = onnx.helper.make_graph([onnx.helper.make_node("Neg", ["x"], ["y"])], "g", [], [])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)]), tmp_path / "it.onnx")
    done = run("import", tmp_path / "it.onnx", tmp_path / "back", *REFERENCE)
    assert done.exit_code == 3
    assert "refq export writes it, and only that is read" in done.stderr


def test_killed_and_resumed(folder, tmp_path, monkeypatch):
    """Wherever an export is killed, OUT is absent or whole; and what is finished is not done again."""
    (tmp_path / "count").mkdir()
    total = number_of_calls(monkeypatch, *export(folder / "some", tmp_path / "count" / "it.onnx"))
    whole = files(tmp_path / "count")
    for number in (3, total // 2, total - 5, total - 3, total - 2, total - 1, total):
        place = tmp_path / str(number)
        place.mkdir()
        process = start(number, *export(folder / "some", place / "it.onnx"), python=["-c", KILLER])
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        if (place / "it.onnx").exists():
            assert open_model(place / "it.onnx", refq)[0].schemes
        done = run(*export(folder / "some", place / "it.onnx", "--resume"))
        assert done.exit_code == 0, done.stderr
        assert files(place) == whole


def test_killed_while_another_is_replaced(folder, tmp_path, monkeypatch):
    """A graph never stands beside weights that are not its own."""
    out, again = tmp_path / "it.onnx", export(folder / "some", tmp_path / "it.onnx", "--overwrite")
    assert run(*export(folder / "asymmetric", out)).exit_code == 0
    old = files(tmp_path)
    total = number_of_calls(monkeypatch, *again)
    new = files(tmp_path)
    assert new["it.onnx"] != old["it.onnx"]
    for number in range(total - 6, total + 1):
        assert run(*export(folder / "asymmetric", out, "--overwrite")).exit_code == 0
        start(number, *again, python=["-c", KILLER]).communicate()
        if out.exists():
            assert files(tmp_path) in (old, new)
        assert run(*again, "--resume").exit_code == 0
        assert files(tmp_path) == new


def test_an_import_killed_and_resumed(folder, tmp_path, monkeypatch):
    command = ("import", folder / "sym.onnx", tmp_path / "back", *REFERENCE)
    total = number_of_calls(monkeypatch, *command)
    whole = digests(tmp_path / "back")
    (tmp_path / "back").rename(tmp_path / "whole")
    for number in (total // 3, total // 4):
        start(number, *command, "--resume", python=["-c", KILLER]).communicate()
        assert not (tmp_path / "back").exists()
    assert run(*command, "--resume").exit_code == 0
    assert digests(tmp_path / "back") == whole
    assert "complete already" in run(*command, "--resume").stdout


def test_a_run_that_fails_leaves_nothing(folder, tmp_path, monkeypatch):
    def refuse(*_):
        raise refq.errors.CheckpointError("x: no")

    monkeypatch.setattr(output, "write", refuse)
    assert run(*export(folder / "symmetric", tmp_path / "it.onnx")).exit_code == 3
    assert os.listdir(tmp_path) == []
