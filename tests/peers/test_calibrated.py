"""What the methods of refq quantize write for weights alone, transformers loads: equal logits."""

import json

import numpy as np
import pytest

import refq_fast
from refq.jobs.calibrated import quantize_calibrated
from refq.jobs.plan import Options
from tests.app.solved import calibration, logits_of, write_model
from tests.app.tiny import TEXT

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("default")]  # their warnings are theirs
torch = pytest.importorskip("torch", reason="torch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")
pytest.importorskip("compressed_tensors", reason="compressed-tensors is not installed")

METHODS = {
    "gptq": ("gptq",),
    "awq": ("awq",),
    "smoothquant": ("smoothquant",),
    "rotation": ("rotation",),
    "rotation+gptq": ("rotation", "gptq"),
    "lwc": ("lwc",),
}
QWEN2 = {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "tie_word_embeddings": True}
MODELS = {"tied": {"tie_word_embeddings": True}, "biases": {"attention_bias": True, "mlp_bias": True}, "qwen2": QWEN2}


def check(folder, out, methods, text, options):
    asked = calibration(*methods, online=False, ratios=5, epochs=2)
    text = None if methods == ("rotation",) else text
    assert quantize_calibrated(folder, out, refq_fast, options, asked, text)
    tokens = np.random.default_rng(1).integers(0, 256, (2, 24))
    settings = {"dtype": torch.float32, "device_map": "cpu"}
    if not options.symmetric:  # as in test_transformers.py
        settings["quantization_config"] = transformers.CompressedTensorsConfig(dequantize=True)
    theirs, said = transformers.AutoModelForCausalLM.from_pretrained(out, output_loading_info=True, **settings)
    assert not any(said.values()), said
    with torch.no_grad():
        expected = theirs.eval()(torch.from_numpy(tokens)).logits.numpy()
    assert np.abs(logits_of(out, tokens) - expected).max() < 1e-4 * max(1, np.abs(expected).max())


@pytest.mark.parametrize("methods", METHODS.values(), ids=METHODS)
def test_the_real_model(data, methods, tmp_path):
    options = Options(4, 4, symmetric="lwc" not in methods)
    check(data / "models/stories260K", tmp_path / "out", methods, data / "text/tinystories/valid.txt", options)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("methods", METHODS.values(), ids=METHODS)
def test_models_with_a_tied_head_or_biases(methods, model, tmp_path):
    folder = write_model(tmp_path / "model", **MODELS[model])
    check(folder, tmp_path / "out", methods, TEXT, Options(4, 8, symmetric="lwc" not in methods))
    tied = json.loads((tmp_path / "out" / "config.json").read_text())["tie_word_embeddings"]
    assert tied == (model != "biases" and "rotation" not in methods)


def test_what_alters_inputs_at_run_time_is_not_loaded_as_something_else(tmp_path):
    folder = write_model(tmp_path / "model")
    assert quantize_calibrated(folder, tmp_path / "out", refq_fast, Options(4, 8), calibration("rotation"))
    with pytest.raises((OSError, ValueError)):
        transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")
