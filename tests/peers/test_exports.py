"""What export writes, the programs it is written for read: every weight bit for bit."""

import numpy as np
import pytest
from safetensors.numpy import load_file

import refq_fast
from refq.files.checkpoint import open_checkpoint
from refq.jobs.export import export_model
from refq.jobs.formats import DIRECTORIES, OURS
from refq.jobs.plan import Options
from refq.jobs.quantize import quantize_model
from refq.jobs.stored import dequantized
from refq.jobs.stored_grid import read_grid
from tests.app.commands import decoded

# stories260K is 64 wide, and 172 within its mlp: what 32 does not divide stays float
FITS = {"mlx": ("down_proj",), "gptq_v2": ("mlp.*",), "awq": ("mlp.*",)}


@pytest.fixture(params=[True, False], ids=["symmetric", "asymmetric"])
def quantized(request, data, tmp_path):
    """Function of the layers to keep: a directory of 4-bit groups of 32."""

    def make(keep):
        chosen = Options(group_size=32, symmetric=request.param, keep=keep)
        quantize_model(data / "models" / "stories260K", tmp_path / "model", refq_fast, chosen)
        return tmp_path / "model"

    return make


@pytest.mark.peers
def test_mlx_dequantizes_to_the_same_weights(quantized, tmp_path):
    mx = pytest.importorskip("mlx.core", reason="mlx is not installed")
    model = quantized(FITS["mlx"])
    export_model(model, tmp_path / "mlx", refq_fast, "mlx", DIRECTORIES["mlx"])
    tensors, random = mx.load(str(tmp_path / "mlx" / "model.safetensors")), np.random.default_rng(0)
    for layer, weight in decoded(model):
        parts = [tensors[f"{layer}.{name}"] for name in ("weight", "scales", "biases")]
        theirs = np.array(mx.dequantize(*parts, group_size=32, bits=4))
        np.testing.assert_array_equal(theirs, weight, layer)
        x = random.standard_normal((3, weight.shape[1])).astype(np.float32)
        y = np.array(mx.quantized_matmul(mx.array(x), *parts, group_size=32, bits=4))
        assert np.abs(y - x.astype(np.float64) @ weight.T).max() < 1e-4


@pytest.mark.peers
def test_onnxruntime_multiplies_by_the_same_weights(quantized):
    adapter = pytest.importorskip("tests.peers.onnxruntime_adapter", reason="onnxruntime is not installed")
    model = quantized(FITS["mlx"])
    checkpoint = open_checkpoint(model)
    for layer, weight in list(decoded(model))[:6]:
        grid = read_grid(checkpoint, layer, weight.shape, refq_fast)
        packed = refq_fast.pack_matmul_nbits(grid.codes(0, len(weight)), 4, 32)
        zeros = refq_fast.pack_matmul_nbits_zeros(grid.zero_point, 4)
        np.testing.assert_array_equal(
            adapter.matmul_nbits(packed, grid.scale, zeros, 4, weight.shape[1]), weight, layer
        )


@pytest.mark.torch
@pytest.mark.filterwarnings("default")  # their warnings are theirs
@pytest.mark.parametrize("to", ["gptq_v2", "awq", "mlx"])
def test_what_comes_back_transformers_loads(quantized, tmp_path, to):
    pytest.importorskip("compressed_tensors", reason="compressed-tensors is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    model = quantized(FITS[to])
    export_model(model, tmp_path / "there", refq_fast, to, DIRECTORIES[to])
    export_model(tmp_path / "there", tmp_path / "back", refq_fast, "refq", OURS)
    options = {"dtype": "float32", "device_map": "cpu"}
    options["quantization_config"] = transformers.CompressedTensorsConfig(dequantize=True)
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "back", **options)
    for layer, weight in decoded(model):
        np.testing.assert_array_equal(loaded.get_submodule(layer).weight.detach().numpy(), weight, layer)


@pytest.mark.parametrize("to", ["gptq_v2", "awq", "mlx"])
def test_a_real_model_there_and_back(quantized, tmp_path, to):
    model = quantized(FITS[to])
    there = export_model(model, tmp_path / "there", refq_fast, to, DIRECTORIES[to])
    export_model(tmp_path / "there", tmp_path / "back", refq_fast, "refq", OURS)
    assert there["codes"] == sum(weight.size for _, weight in decoded(model))
    before, after = (load_file(folder / "model.safetensors") for folder in (model, tmp_path / "back"))
    assert before.keys() == after.keys()
    for name, array in before.items():
        np.testing.assert_array_equal(array, after[name], name)
    checkpoint = open_checkpoint(tmp_path / "there")
    for layer, weight in decoded(model):
        grid = read_grid(checkpoint, layer, weight.shape, refq_fast)
        np.testing.assert_array_equal(dequantized(grid, 0, len(weight), refq_fast), weight, layer)
