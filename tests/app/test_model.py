"""Loading a model: what a layer is in memory, against the stored words read by hand; damaged weights are refused."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import refq
from refq.errors import CheckpointError, FormatError, UsageError
from refq.jobs.model import load_model
from refq.jobs.plan import Options
from refq.jobs.quantize import quantize_model
from refq.jobs.running import open_model
from refq.training.activations import QuantizedInput
from tests.app.tiny import CONFIG, write_model
from tests.support import both

LAYER = "model.layers.1.self_attn.k_proj"
KEPT = ("q_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "float"
    write_model(folder)
    return folder


def stream(words, bits, count):
    """`count` codes of a little-endian bit stream of int32 words, with Python's integers."""
    number = sum((int(word) % 2**32) << (32 * i) for i, word in enumerate(words))
    return [((number >> (bits * i)) % 2**bits) - 2 ** (bits - 1) for i in range(count)]


def by_hand(folder):
    """The weight of LAYER in float64, (q - zero_point) * scale, and the largest |q| + |zero_point| times scale."""
    tensors = load_file(folder / "model.safetensors")
    packed, scale, shape, zero = (
        tensors.get(f"{LAYER}.weight_{name}") for name in ("packed", "scale", "shape", "zero_point")
    )
    bits = json.loads((folder / "config.json").read_text())["quantization_config"]["config_groups"]["group_0"]
    bits, (rows, columns) = bits["weights"]["num_bits"], shape
    q = np.array([stream(row, bits, columns) for row in packed], np.float64)
    scale = np.broadcast_to(scale.reshape(-1, 1) if scale.ndim == 1 else scale, (rows, scale.size // len(scale)))
    if zero is None:
        zero = np.zeros(1)
    elif zero.ndim == 2:
        zero = np.array([stream(column, bits, rows) for column in zero.T]).T
    zero = np.broadcast_to(zero, scale.shape)
    scale, zero = (np.repeat(v.astype(np.float64), columns // v.shape[1], axis=1) for v in (scale, zero))
    return (q - zero) * scale, (np.abs(q) + np.abs(zero)) * scale


@both
@pytest.mark.parametrize("symmetric", [True, False], ids=["symmetric", "asymmetric"])
@pytest.mark.parametrize("size", ["tensor", "channel", 32, 16])
@pytest.mark.parametrize("bits", range(2, 9))
def test_quantized_layer_is_what_the_file_says(engine, source, tmp_path, bits, size, symmetric):
    quantize_model(source, tmp_path / "q", refq, Options(bits, size, symmetric, keep=KEPT))
    config, params = load_model(tmp_path / "q", engine)
    assert isinstance(params[f"{LAYER}.weight"], engine.PackedWeight)
    expected, magnitude = by_hand(tmp_path / "q")
    one_hot = np.eye(config["hidden_size"], dtype=np.float32)
    found = engine.linear(one_hot, params[f"{LAYER}.weight"]).T
    assert (np.abs(found - expected) <= magnitude * 2.0**-21).all()
    floats = load_file(source / "model.safetensors")
    for name, tensor in params.items():
        if not isinstance(tensor, engine.PackedWeight):
            assert tensor.dtype == np.float32
            assert np.array_equal(tensor, floats[name]), name


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_halves_become_float32(source, tmp_path, dtype):
    import ml_dtypes

    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.float16
    halves = {name: tensor.astype(kind) for name, tensor in load_file(source / "model.safetensors").items()}
    folder = changed(source, tmp_path, halves)
    _, params = load_model(folder, refq)
    for name, tensor in halves.items():
        assert params[name].dtype == np.float32
        assert np.array_equal(params[name], tensor.astype(np.float32))


@both
@pytest.mark.parametrize(
    ("part", "value", "error", "words"),
    [
        ("scale", 0.0, CheckpointError, "holds 0"),
        ("scale", np.nan, CheckpointError, "finite"),
        ("packed", -1, FormatError, "weight_packed"),
    ],
)
def test_refuses_a_damaged_layer(engine, tmp_path, monkeypatch, part, value, error, words):
    monkeypatch.setitem(CONFIG, "intermediate_size", 43)  # 3 bits each: 31 unused bits in the last word
    write_model(tmp_path / "odd")
    quantize_model(tmp_path / "odd", tmp_path / "q", refq, Options(3, "channel", keep=("v_proj",)))
    tensors = load_file(tmp_path / "q" / "model.safetensors")
    name = "model.layers.0.mlp.down_proj.weight_" + part
    tensors[name] = tensors[name].copy()
    tensors[name][-1, -1] = value
    folder = changed(tmp_path / "q", tmp_path, tensors)
    with pytest.raises(error, match=words) as caught:
        load_model(folder, engine)
    assert "model.safetensors" in str(caught.value)
    assert name in str(caught.value)


@both
def test_refuses_a_weight_that_is_not_finite(engine, source, tmp_path):
    tensors = load_file(source / "model.safetensors")
    tensors["model.norm.weight"] = np.full_like(tensors["model.norm.weight"], np.inf)
    with pytest.raises(CheckpointError, match=r"model\.norm\.weight\[0\] is inf"):
        load_model(changed(source, tmp_path, tensors), engine)


STATIC = {
    "scale 0": ("scale", np.float32([0]), CheckpointError, "holds 0.0; it must be above 0"),
    "scale below 0": ("scale", np.float32([-1]), CheckpointError, "holds -1.0; it must be above 0"),
    "scale NaN": ("scale", np.float32([np.nan]), CheckpointError, "finite"),
    "two scales": ("scale", np.float32([1, 1]), CheckpointError, "has shape [2]"),
    "no scale": ("scale", None, CheckpointError, "is missing"),
    "no zero point": ("zero_point", None, CheckpointError, "is missing"),
    "zero point off its grid": ("zero_point", np.int8([32]), CheckpointError, "holds 32; -32..31 is its grid"),
    "a wide zero point": ("zero_point", np.int16([3]), CheckpointError, "is I16; I8 is needed"),
}


@pytest.fixture(scope="module")
def static(source, tmp_path_factory):
    """A quantized model whose inputs have static grids of 6 bits, written by hand."""
    folder, tensors = tmp_path_factory.mktemp("static"), {}
    quantize_model(source, folder / "q", refq, Options(4, 32))
    raw = json.loads((folder / "q" / "config.json").read_text())
    [group] = raw["quantization_config"]["config_groups"].values()
    inputs = {"num_bits": 6, "type": "int", "symmetric": False, "strategy": "tensor", "dynamic": False}
    group["input_activations"] = inputs
    (folder / "q" / "config.json").write_text(json.dumps(raw))
    stored = load_file(folder / "q" / "model.safetensors")
    for n, name in enumerate(name.removesuffix("_packed") for name in stored if name.endswith("_packed")):
        layer = name.removesuffix(".weight")
        tensors |= {f"{layer}.input_scale": np.float32([0.05 + n]), f"{layer}.input_zero_point": np.int8([n - 7])}
    save_file(stored | tensors, folder / "q" / "model.safetensors")
    return folder / "q"


@both
def test_static_input_grids_are_those_of_the_file(engine, static):
    _, params = load_model(static, engine)
    stored = load_file(static / "model.safetensors")
    weight = params[f"{LAYER}.weight"]
    assert isinstance(weight, QuantizedInput)
    assert isinstance(weight.weight, engine.PackedWeight)
    assert weight.bits == 6
    assert weight.scale == stored[f"{LAYER}.input_scale"]
    assert weight.zero_point == stored[f"{LAYER}.input_zero_point"]
    assert isinstance(params["lm_head.weight"], np.ndarray)
    _, params = load_model(static, engine, activations=False)
    assert isinstance(params[f"{LAYER}.weight"], engine.PackedWeight)


@both
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_a_head_of_fewer_bits(engine, source, bits):
    """Off by half a step at most, and by nothing else; its input is quantized where those of low-bit layers are."""
    _, exact = load_model(source, engine)
    _, params = open_model(source, engine, head_bits=bits)
    head, w = params["lm_head.weight"], exact["lm_head.weight"]
    assert isinstance(head, engine.PackedWeight)
    found = engine.linear(np.eye(w.shape[1], dtype=np.float32), head).T
    groups = np.abs(w).reshape(len(w), -1, w.shape[1] if bits == 8 else 32)
    steps = groups.max(axis=-1, keepdims=True) / (2 ** (bits - 1) - 1)
    far = np.abs(found - w).reshape(groups.shape) / steps
    assert 0.45 < far.max() < 0.51
    assert isinstance(open_model(source, engine, 8, bits)[1]["lm_head.weight"], QuantizedInput)
    assert isinstance(open_model(source, engine, 8)[1]["lm_head.weight"], np.ndarray)


@both
def test_inputs_on_a_grid_a_token_where_the_files_say_otherwise(engine, static):
    _, params = open_model(static, engine, 15)
    weight = params[f"{LAYER}.weight"]
    assert isinstance(weight.weight, engine.PackedWeight)
    assert weight[1:] == (15, None, None)
    assert isinstance(open_model(static, engine, "off")[1][f"{LAYER}.weight"], engine.PackedWeight)
    assert open_model(static, engine)[1][f"{LAYER}.weight"].bits == 6


def test_refuses_bits_that_are_none(source):
    for activations, head_bits in ((17, None), (1, None), (True, None), ("8", None), ("off", 9), ("off", 1)):
        with pytest.raises(UsageError, match="is needed"):
            open_model(source, refq, activations, head_bits)


@pytest.mark.parametrize("case", STATIC)
def test_refuses_a_damaged_input_grid(case, static, tmp_path):
    part, value, error, words = STATIC[case]
    name, tensors = f"{LAYER}.input_{part}", load_file(static / "model.safetensors")
    tensors[name] = value
    folder = changed(static, tmp_path, {name: tensor for name, tensor in tensors.items() if tensor is not None})
    with pytest.raises(error) as caught:
        load_model(folder, refq)
    assert name in str(caught.value)
    assert words in str(caught.value)


def test_refuses_an_input_grid_that_config_json_does_not_ask_for(static, tmp_path):
    folder = changed(static, tmp_path, load_file(static / "model.safetensors"))
    raw = json.loads((folder / "config.json").read_text())
    raw["quantization_config"]["config_groups"]["group_0"]["input_activations"] = None
    (folder / "config.json").write_text(json.dumps(raw))
    with pytest.raises(CheckpointError, match=r"input_scale.* has no place in this model"):
        load_model(folder, refq)


def changed(source, tmp_path, tensors):
    """A copy of a model directory with other tensors."""
    folder = tmp_path / "changed"
    folder.mkdir()
    for path in source.iterdir():
        if path.suffix == ".json":
            (folder / path.name).write_bytes(path.read_bytes())
    save_file(tensors, folder / "model.safetensors")
    return folder
