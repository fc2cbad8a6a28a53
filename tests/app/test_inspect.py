"""refq inspect: the figures of a model, recorded and measured."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

import refq
import refq_fast
from refq.files.checkpoint import open_checkpoint
from refq.jobs.inspect import inspect_model
from refq.jobs.plan import Options
from refq.jobs.quantize import quantize_model
from tests.app.commands import decoded, small
from tests.app.commands import refq as run
from tests.files.models import arrays, save, write_config


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return small(tmp_path_factory.mktemp("tiny") / "model")


@pytest.mark.parametrize("options", [Options(4, 8), Options(3, "channel", False), Options(5, "tensor", False, "mse")])
@pytest.mark.parametrize("engine", [refq, refq_fast], ids=["refq", "refq_fast"])
def test_measured_figures_are_those_recorded_and_those_of_the_format(options, engine, tiny, tmp_path):
    quantize_model(tiny, tmp_path / "out", engine, options)
    recorded = inspect_model(tmp_path / "out")["tensors"]
    measured = inspect_model(tmp_path / "out", tiny, engine)["tensors"]
    weights, originals = dict(decoded(tmp_path / "out")), open_checkpoint(tiny)
    for there, here in zip(recorded, measured, strict=True):
        layer = here["name"].removesuffix(".weight")
        if layer not in weights:
            assert (here["sqnr_db"], here["max_error"]) == (None, 0.0)
            continue
        assert here == there
        w = originals.read(here["name"]).astype(np.float64)
        error = w - weights[layer]
        assert here["max_error"] == pytest.approx(np.abs(error).max(), rel=1e-5)
        assert here["sqnr_db"] == pytest.approx(10 * np.log10((w**2).sum() / (error**2).sum()), rel=1e-5)


def test_the_table(tiny, tmp_path):
    quantize_model(tiny, tmp_path / "out", refq, Options(4, 8))
    result = run("inspect", tmp_path / "out")
    assert result.exit_code == 0
    line = next(line for line in result.stdout.splitlines() if "layers.1.mlp.down_proj" in line)
    assert line.split()[:4] == ["model.layers.1.mlp.down_proj.weight", "16x32", "int4", "8"]
    head = "tensor shape format bits/weight size dB largest error"
    assert result.stdout.splitlines()[0].split() == head.split()
    said = "quantize: bits 4, group 8, symmetric, minmax, fallback refuse, keep nothing"
    assert result.stdout.splitlines()[-1] == f"written by refq {refq.__version__} {said}"
    assert "int4" not in run("inspect", tiny).stdout
    found = json.loads(run("inspect", tmp_path / "out", "--original", tiny, "--json").stdout)
    assert len(found["tensors"]) == 21
    assert found["run"]["command"] == "quantize"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (Options(3, "channel", False, keep=("down_proj", "model.layers.0.*")), "3, per channel, asymmetric, minmax"),
        (Options(8, "tensor", range="mse", fallback="channel"), "8, per tensor, symmetric, mse, fallback channel"),
    ],
)
def test_the_record_in_words(options, text, tiny, tmp_path):
    quantize_model(tiny, tmp_path / "out", refq, options)
    said = run("inspect", tmp_path / "out").stdout.splitlines()[-1]
    assert f"quantize: bits {text}" in said
    assert said.endswith("keep down_proj model.layers.0.*" if options.keep else "keep nothing")


def test_two_float_models_are_compared_too(tiny, tmp_path):
    other = small(tmp_path / "half", np.float16)
    rows = json.loads(run("inspect", other, "--original", tiny, "--json").stdout)["tensors"]
    assert all(row["format"] == "F16" for row in rows)
    assert all(60 < row["sqnr_db"] < 90 for row in rows)


def test_another_model_is_not_the_original(tiny, tmp_path):
    other = small(tmp_path / "other", num_hidden_layers=1)
    result = run("inspect", tiny, "--original", other)
    assert result.exit_code == 2
    assert "has other tensors than" in result.stderr


@pytest.mark.parametrize(
    "said",
    [
        "{",
        "[]",
        "{}",
        '{"run":1,"figures":{}}',
        '{"run":{},"figures":{"a":{}}}',
        '{"run":{},"figures":{"a":{"sqnr_db":"x","max_error":1}}}',
    ],
)
def test_a_record_that_is_not_ours(said, tmp_path):
    write_config(tmp_path)
    save(tmp_path / "model.safetensors", arrays(tmp_path), {"refq": said})
    result = run("inspect", tmp_path)
    assert result.exit_code == 3
    assert "model.safetensors: the metadata `refq`" in result.stderr


def test_a_record_of_another_command(tmp_path):
    write_config(tmp_path)
    hostile = {"command": "\x1b[31m", "options": {"bits": ["\x1b"], "keep": 3, "range": {}}}
    hostile["calibration"] = {"steps": {"1": {"method": "\x1b"}, "2": {}, "3": 3}}
    said = {"refq": json.dumps({"run": hostile, "figures": {}})}
    save(tmp_path / "model.safetensors", arrays(tmp_path), said)
    result = run("inspect", tmp_path)
    assert result.exit_code == 0
    assert "\x1b" not in result.stdout


@pytest.mark.parametrize(("scale", "text"), [(0, "holds 0"), (np.nan, "is nan"), (1e38, "inf;"), (-1e37, None)])
def test_a_quantized_model_with_hostile_scales(scale, text, tiny, tmp_path):
    quantize_model(tiny, tmp_path / "out", refq, Options(4, 8))
    path = tmp_path / "out" / "model.safetensors"
    tensors = load_file(path)
    tensors["model.layers.0.mlp.up_proj.weight_scale"][:] = scale
    save(path, tensors)
    result = run("inspect", tmp_path / "out", "--original", tiny, "--json")
    if text is None:
        assert all(row["max_error"] is None or row["max_error"] < 1e39 for row in json.loads(result.stdout)["tensors"])
    else:
        assert result.exit_code == 3
        assert "model.safetensors: tensor model.layers.0.mlp.up_proj.weight" in result.stderr
        assert text in result.stderr


def test_a_missing_model():
    assert run("inspect", "nowhere").exit_code == 2
