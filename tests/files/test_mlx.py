"""refq.files.mlx: directories of MLX's affine format, right and malformed."""

import json

import numpy as np
import pytest

from refq.errors import CheckpointError, FormatError
from refq.files.checkpoint import open_checkpoint
from refq.files.mlx import EMBEDDING, Mlx, packed_tensors, parse_quantization_config, quantization
from refq.jobs.model import load_model
from refq.jobs.stored import weight_rows
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

SHAPE = (32, 64)  # of LAYER
WIDE = {"hidden_size": 32, "intermediate_size": 64}


def fill(name, shape):
    """Grids of whole steps: bias = -zero * scale, zero of 0 .. 15."""
    if name.endswith("scales"):
        return scales(shape)
    zeros = np.random.default_rng(2).integers(0, 16, shape).astype(np.float16)
    return -scales(shape) * zeros if name.endswith("biases") else None


def odd(name, shape):
    """Biases of any size."""
    found = fill(name, shape)
    return found if found is None or name.endswith("scales") else found + np.float16(1 / 1024)


def write(folder, bits=4, fill=fill):
    config = {"group_size": 32, "bits": bits}
    both = {"quantization": config, "quantization_config": config}
    return foreign(folder, lambda *layer: packed_tensors(*layer, Mlx(bits, 32)), fill, **WIDE, **both)


@pytest.fixture
def model(tmp_path):
    """(directory, its tensors)"""
    return tmp_path / "mlx", write(tmp_path / "mlx")


def by_hand(tensors, bits, layer=LAYER):
    """A weight by the words alone, with Python's integers."""
    words, scales, biases = (tensors[f"{layer}.{name}"] for name in ("weight", "scales", "biases"))
    columns = words.shape[1] * 32 // bits
    weight = np.zeros((len(words), columns), np.float32)
    for o, row in enumerate(words):
        stream = sum(int(word) << (32 * k) for k, word in enumerate(row))
        for i in range(columns):
            u = (stream >> (bits * i)) % 2**bits
            weight[o, i] = np.float32(u) * np.float32(scales[o, i // 32]) + np.float32(biases[o, i // 32])
    return weight


@both
@pytest.mark.parametrize("form", [fill, odd], ids=["zero points", "biases"])
@pytest.mark.parametrize("bits", [3, 4, 8])
def test_a_weight_is_what_the_words_say(engine, tmp_path, bits, form):
    tensors = write(tmp_path / "mlx", bits, form)
    found = np.concatenate([rows for _, rows in weight_rows(open_checkpoint(tmp_path / "mlx"), LAYER, SHAPE, engine)])
    np.testing.assert_array_equal(found, by_hand(tensors, bits))
    _, params = load_model(tmp_path / "mlx", engine)
    weight = params[f"{LAYER}.weight"]
    kind = engine.PackedWeight if form is fill else engine.CodebookWeight if bits <= 4 else np.ndarray
    assert isinstance(weight, kind)
    np.testing.assert_allclose(engine.linear(np.eye(SHAPE[1], dtype=np.float32), weight).T, found, atol=2e-5)


@both
def test_a_quantized_embedding_becomes_floats(engine, model):
    folder, tensors = model
    random = np.random.default_rng(2)
    words = random.integers(0, 2**32, (24, 4), np.uint32)
    parts = {f"{EMBEDDING}.{name}": fill(name, (24, 1)) for name in ("scales", "biases")}
    parts[f"{EMBEDDING}.weight"] = words
    rewritten(folder, tensors | parts, {})
    _, params = load_model(folder, engine)
    np.testing.assert_array_equal(params[f"{EMBEDDING}.weight"], by_hand(parts, 4, EMBEDDING))


def test_what_we_write_we_read():
    shapes = dict.fromkeys(("a", "b", "c"), (8, 64))
    schemes = {"a": Mlx(4, 64), "b": Mlx(8, 32), "c": Mlx(4, 64)}
    raw = json.loads(json.dumps(quantization(schemes)))
    assert raw == {"group_size": 64, "bits": 4, "b": {"group_size": 32, "bits": 8}}
    assert parse_quantization_config(raw, shapes) == schemes


def test_an_entry_that_is_false_stands_for_a_float_layer():
    raw = {"group_size": 64, "bits": 4, "a": False, "lm_head": {"group_size": 64, "bits": 8}}
    assert parse_quantization_config(raw, {"a": (8, 64)}) == {"a": Mlx(4, 64)}


SETTINGS = [
    *({"bits": bits} for bits in (..., None, 0, 1, 7, 16, 33, "4", 4.0, True, [4])),
    *({"group_size": size} for size in (..., None, 0, -1, 16, 256, 2**63, "32", 32.0, True, [32], 128)),
    *({"mode": mode} for mode in ("mxfp4", "nvfp4", None, 3)),
    {"nobody": {"group_size": 32, "bits": 4}},
    *({LAYER: entry} for entry in (None, 4, "no", [], {}, {"bits": 4}, {"bits": 7, "group_size": 32})),
    {"quant_method": "mlx"},
]


@pytest.mark.parametrize("changes", SETTINGS, ids=str)
def test_a_setting_that_is_none_of_ours_is_refused(model, changes):
    check_setting_refused(model[0], changes, "quantization", "quantization_config")


@pytest.mark.parametrize("value", [[], "mlx", 4, True])
def test_a_quantization_that_is_no_object_is_refused(model, value):
    path = model[0] / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"quantization": value}))
    with pytest.raises(CheckpointError, match="an object is needed"):
        open_checkpoint(model[0])


def test_two_quantizations_that_differ_are_refused(model):
    reconfigured(model[0], "quantization", bits=8)
    with pytest.raises(CheckpointError, match="quantization_config too"):
        open_checkpoint(model[0])


NAMES = ("weight", "scales", "biases")
TENSORS = {
    **altered("missing", *NAMES),
    **altered("turned", *NAMES),
    **altered("a row short", *NAMES),
    **altered("a column short", *NAMES),
    **altered("empty", *NAMES),
    **altered("with an axis more", *NAMES),
    **altered("as int16", "scales"),
    "words as int32": {"weight": lambda array: array.view(np.int32)},
    "words as floats": {"weight": lambda array: array.view(np.float32)},
    "a bias": {"bias": np.ones(SHAPE[0], np.float16)},
    "a zero point": {"qzeros": np.ones((1, 4), np.int32)},
}


@pytest.mark.parametrize("changes", TENSORS.values(), ids=TENSORS)
def test_tensors_that_do_not_fit_are_refused(model, changes):
    check_tensors_refused(*model, changes)


@pytest.mark.parametrize("number", [0.0, float("nan"), float("inf")])
def test_scales_that_mean_nothing_are_refused(model, number):
    check_numbers_refused(*model, {"scales": lambda array: np.full_like(array, number)})


def test_groups_that_do_not_divide_are_refused():
    with pytest.raises(FormatError, match="group_size=64 does not divide the 96 inputs of layer x"):
        packed_tensors("x", (8, 96), Mlx(4, 64))
