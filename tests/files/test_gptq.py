"""refq.files.gptq: directories that other programs quantized with GPTQ, right and malformed."""

import json

import numpy as np
import pytest

import refq
from refq.errors import FormatError
from refq.files.checkpoint import open_checkpoint
from refq.files.gptq import Gptq, packed_tensors, parse_quantization_config, quantization_config
from refq.jobs.model import load_model, operations
from refq.jobs.stored import weight_rows
from refq.jobs.stored_grid import read_grid
from refq.transforms.inputs import ReassembledInput
from tests.files.foreign import (
    LAYER,
    altered,
    check_numbers_refused,
    check_setting_refused,
    check_tensors_refused,
    foreign,
    reconfigured,
    rewritten,
    scales,
)
from tests.support import both

SIZE, SHAPE = 8, (16, 32)  # of LAYER
CONFIG = {"quant_method": "gptq", "bits": 4, "group_size": SIZE, "desc_act": False, "sym": False}
SCHEME = Gptq(4, False, SIZE, 1)


def fill(name, shape):
    if name.endswith("scales"):
        return scales(shape)
    return np.arange(shape[0], dtype=np.int32) // SIZE if name.endswith("g_idx") else None


@pytest.fixture
def model(tmp_path):
    """(directory, its tensors)"""
    folder = tmp_path / "gptq"
    return folder, foreign(
        folder, lambda layer, shape: packed_tensors(layer, shape, SCHEME), fill, quantization_config=CONFIG
    )


def by_hand(tensors, version=1, bits=4):
    """The weight of LAYER by the words alone, with Python's integers."""
    words, zeros, scales, group = (tensors[f"{LAYER}.{name}"] for name in ("qweight", "qzeros", "scales", "g_idx"))
    weight = np.zeros(SHAPE)
    for o in range(SHAPE[0]):
        for i in range(SHAPE[1]):
            u = (int(words[i // 8, o]) % 2**32) >> (4 * (i % 8)) & 15
            z = (int(zeros[group[i], o // 8]) % 2**32) >> (4 * (o % 8)) & 15
            weight[o, i] = float(scales[group[i], o]) * (u - (z + (version == 1)) % 16)
    return weight


def weight_of(folder, engine=refq):
    checkpoint = open_checkpoint(folder)
    return np.concatenate([rows for _, rows in weight_rows(checkpoint, LAYER, SHAPE, engine)])


@both
@pytest.mark.parametrize("version", [1, 2])
def test_a_weight_is_what_the_words_say(engine, model, version):
    folder, tensors = model
    reconfigured(folder, "quantization_config", checkpoint_format={1: "gptq", 2: "gptq_v2"}[version])
    np.testing.assert_array_equal(weight_of(folder, engine), by_hand(tensors, version))


@both
def test_a_model_runs(engine, model):
    folder, _ = model
    config, params = load_model(folder, engine)
    weight = params[f"{LAYER}.weight"]
    assert isinstance(weight, engine.PackedWeight)
    ops = operations(engine, config)
    found = ops.linear(np.eye(SHAPE[1], dtype=np.float32), weight).T
    np.testing.assert_allclose(found, weight_of(folder), atol=1e-6)


@both
def test_inputs_in_the_order_of_activations(engine, model):
    folder, tensors = model
    order = np.random.default_rng(3).permutation(fill("g_idx", (SHAPE[1],)))
    rewritten(folder, tensors, {"g_idx": order})
    reconfigured(folder, "quantization_config", desc_act=True)
    expected = by_hand(tensors | {f"{LAYER}.g_idx": order})
    np.testing.assert_array_equal(weight_of(folder, engine), expected)
    config, params = load_model(folder, engine)
    assert isinstance(params[f"{LAYER}.weight"], ReassembledInput)
    found = operations(engine, config).linear(np.eye(SHAPE[1], dtype=np.float32), params[f"{LAYER}.weight"]).T
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(("label", "stored"), [("gptq", 7), ("gptq_v2", 8), ("gptq", 8), ("gptq_v2", 7)])
def test_symmetric_zero_points_are_known_whatever_the_label_says(model, label, stored):
    folder, tensors = model
    word = np.uint32(sum(stored << (4 * i) for i in range(8))).view(np.int32)
    rewritten(folder, tensors, {"qzeros": np.full_like(tensors[f"{LAYER}.qzeros"], word)})
    reconfigured(folder, "quantization_config", checkpoint_format=label, sym=True)
    assert not read_grid(open_checkpoint(folder), LAYER, SHAPE, refq).zero_point.any()


def test_what_is_not_quantized_stays_float(model):
    folder, tensors = model
    gone = dict.fromkeys(("qweight", "qzeros", "scales", "g_idx"))
    rewritten(folder, tensors | {f"{LAYER}.weight": np.ones(SHAPE, np.float16)}, gone)
    checkpoint = open_checkpoint(folder)
    assert LAYER not in checkpoint.schemes
    assert len(checkpoint.schemes) == 13


def test_a_bias_of_zeros_is_none(model):
    folder, tensors = model
    rewritten(folder, tensors, {"bias": np.zeros(SHAPE[0], np.float16)})
    assert open_checkpoint(folder).ignored == [f"{LAYER}.bias"]


def test_what_we_write_we_read():
    shapes = {"model.layers.0.mlp.up_proj": (8, 16)}
    for scheme in (
        SCHEME,
        SCHEME._replace(group_size=None),
        SCHEME._replace(version=2, symmetric=True),
    ):
        raw = json.loads(json.dumps(quantization_config(scheme, ["mlp.up_proj"])))
        assert parse_quantization_config(raw, shapes) == dict.fromkeys(shapes, scheme)


SETTINGS = [
    *({"bits": bits} for bits in (..., None, 0, 1, 5, 6, 7, 16, 33, -4, "4", 4.0, True, [4])),
    *({"group_size": size} for size in (..., None, 0, -2, 2**25, 2**63, "8", 8.0, True, [8], 3, 64)),
    *({"sym": sym} for sym in ("true", 1, None)),
    *({"desc_act": act} for act in ("false", 0, None)),
    *({"checkpoint_format": form} for form in ("gptq_v3", "marlin", "", 2, None, ["gptq"])),
    {"checkpoint_format": "gptq", "format": "gptq_v2"},
    *({"pack_dtype": dtype} for dtype in ("int8", "int64", 32)),
    *({"quant_method": method} for method in ("gptq2", "awq", None, 3)),
    {"dynamic": {"+:.*": {"bits": 8}}},
    {"dynamic": ["-:.*"]},
    {"is_marlin_format": True},
    {"adapter": {"name": "lora"}},
    {"lm_head": "no"},
]


@pytest.mark.parametrize("changes", SETTINGS, ids=str)
def test_a_setting_that_is_none_of_ours_is_refused(model, changes):
    check_setting_refused(model[0], changes, "quantization_config")


TENSORS = {
    **altered("missing", "qzeros", "scales", "g_idx"),
    **altered("in int64", "qweight", "qzeros", "g_idx"),
    **altered("turned", "qweight", "qzeros", "scales"),
    **altered("a row short", "qweight", "qzeros", "scales", "g_idx"),
    **altered("empty", "qweight", "qzeros", "scales", "g_idx"),
    **altered("with an axis more", "qweight", "qzeros", "scales"),
    **altered("as int16", "scales"),
    "a weight too": {"weight": np.ones(SHAPE, np.float16)},
    "a bias": {"bias": np.ones(SHAPE[0], np.float16)},
    "words of AWQ": {"qweight": lambda array: array.reshape(SHAPE[1], SHAPE[0] // 8)},
    "packed by compressed-tensors": {"weight_packed": np.zeros((16, 4), np.int32)},
    "an unknown tensor": {"model.layers.9.mlp.up_proj.qweight": np.zeros((2, 2), np.int32)},
}


@pytest.mark.parametrize("changes", TENSORS.values(), ids=TENSORS)
def test_tensors_that_do_not_fit_are_refused(model, changes):
    check_tensors_refused(*model, changes)


NUMBERS = {
    "a scale of 0": {"scales": lambda array: array * np.float16(0)},
    "a scale of NaN": {"scales": lambda array: array * np.float16("nan")},
    "an infinite scale": {"scales": lambda array: array + np.float16("inf")},
    "a group that is not there": {"g_idx": lambda array: array + 1},
    "a group below 0": {"g_idx": lambda array: array - 1},
    "all in one group": {"g_idx": lambda array: array * 0},
    "a group of nine": {"g_idx": lambda array: np.r_[array[:8], 0, array[9:]].astype(np.int32)},
    "a huge group": {"g_idx": lambda array: array + 2**30},
}


@pytest.mark.parametrize("changes", NUMBERS.values(), ids=NUMBERS)
def test_numbers_that_mean_nothing_are_refused(model, changes):
    check_numbers_refused(*model, changes)


def test_a_directory_without_any_quantized_layer_is_refused(model):
    folder, tensors = model
    (folder / "model.safetensors").unlink()
    floats = {name: array for name, array in tensors.items() if "_proj" not in name}
    rewritten(folder, floats, {})
    with pytest.raises(FormatError, match="no linear layer has a tensor qweight"):
        open_checkpoint(folder)


@pytest.mark.parametrize(
    ("shape", "scheme", "text"),
    [
        ((8, 20), SCHEME, "group_size=8 does not divide the 20 inputs of layer x"),
        ((12, 16), SCHEME, "8, the 4-bit codes of whole words, does not divide the 12 outputs of layer x"),
        ((32, 48), SCHEME._replace(bits=3), "32, the 3-bit codes of whole words, does not divide the 48 inputs"),
        (
            (6, 8),
            SCHEME._replace(bits=8),
            "4, the 8-bit codes of whole words, does not divide the 6 outputs of layer x",
        ),
    ],
)
def test_shapes_that_do_not_fill_words_are_refused(shape, scheme, text):
    with pytest.raises(FormatError, match=text):
        packed_tensors("x", shape, scheme)
