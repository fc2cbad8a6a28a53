"""refq plot codebook: a picture, the numbers beside it, and what is refused."""

import json
import sys

import numpy as np
import pytest

import refq
from refq.files.checkpoint import open_checkpoint
from refq.files.encoder import open_encoder
from refq.jobs.plan import Options
from refq.jobs.quantize import quantize_model
from refq.jobs.tensor_codebooks import tensor_codebooks
from tests.app.commands import refq as run
from tests.app.commands import small
from tests.files.encoders import CONFIG, write_encoder
from tests.files.test_encoder import tensors

NAME = "model.layers.1.mlp.up_proj.weight"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return small(tmp_path_factory.mktemp("tiny") / "model")


@pytest.mark.parametrize(("suffix", "begins"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
@pytest.mark.parametrize("bits", [1, 3, 8])
def test_a_picture_and_its_numbers(suffix, begins, bits, tiny, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    out = tmp_path / f"picture.{suffix}"
    result = run("plot", "codebook", tiny, NAME, "--bits", bits, "--out", out, "--json")
    assert result.exit_code == 0, result.stderr
    assert out.read_bytes().startswith(begins)
    report = json.loads(result.stdout)
    assert (report["weights"], report["bits"]) == (512, bits)
    assert set(report["schemes"]) == {"kmeans_optimal", "linear_mean", "linear_round"}
    assert all(len(scheme["entries"]) == 2**bits for scheme in report["schemes"].values())
    first = out.read_bytes()
    again = run("plot", "codebook", tiny, NAME, "--bits", bits, "--out", out)
    assert (again.exit_code, "--overwrite" in again.stderr) == (2, True)
    assert run("plot", "codebook", tiny, NAME, "--bits", bits, "--out", out, "--overwrite").exit_code == 0
    assert out.read_bytes() == first


def test_the_error(tiny):
    w = open_checkpoint(tiny).read(NAME).astype(np.float64).reshape(1, -1)
    numbers, found = tensor_codebooks(tiny, NAME, 3, refq)
    np.testing.assert_array_equal(numbers, w[0])
    for codebook, error in found.values():
        nearest = np.abs(w[..., None] - codebook).min(axis=-1)
        assert error >= (nearest**2).sum() / (w**2).sum() * (1 - 1e-6)
    assert found["kmeans_optimal"][1] < found["linear_mean"][1] < found["linear_round"][1]


def test_tensors_of_an_encoder(tmp_path):
    model, name = write_encoder(tmp_path / "model", CONFIG, tensors(tmp_path, CONFIG)), "pooler.dense.weight"
    numbers, found = tensor_codebooks(model, name, 2, refq)
    np.testing.assert_array_equal(numbers, open_encoder(model).read(name).reshape(-1))
    assert found["kmeans_optimal"][1] <= found["linear_mean"][1]


@pytest.mark.parametrize(
    ("tensor", "out", "text"),
    [
        (NAME, "picture.pdf", "a name that ends in .png or .svg is needed"),
        (NAME, "nowhere/picture.png", "does not exist"),
        ("model.layers.1.mlp.up_proj", "picture.png", f"the nearest name is {NAME}"),
    ],
)
def test_refused(tensor, out, text, tiny, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    result = run("plot", "codebook", tiny, tensor, "--out", tmp_path / out)
    assert result.exit_code == 2
    assert text in result.stderr
    assert not any(tmp_path.iterdir())


def test_a_quantized_tensor_is_refused(tiny, tmp_path):
    quantize_model(tiny, tmp_path / "q", refq, Options(3, 8, method="kmeans"))
    with pytest.raises(refq.errors.UsageError, match="is no float tensor.*nearest name is .*weight_codebook$"):
        tensor_codebooks(tmp_path / "q", NAME, 3, refq)


def test_without_matplotlib_it_says_what_brings_it(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "refq.app.codebook_plot", raising=False)
    result = run("plot", "codebook", tiny, NAME, "--out", tmp_path / "picture.png")
    assert result.exit_code == 2
    assert "pip install 'refq[report]'" in result.stderr
