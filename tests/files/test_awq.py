"""refq.files.awq: directories that other programs quantized with AWQ, right and malformed."""

import json

import numpy as np
import pytest

from refq.errors import FormatError
from refq.files.awq import Awq, packed_tensors, parse_quantization_config, quantization_config
from refq.files.checkpoint import open_checkpoint
from refq.jobs.model import load_model
from refq.jobs.stored import weight_rows
from tests.files.foreign import (
    LAYER,
    altered,
    check_numbers_refused,
    check_setting_refused,
    check_tensors_refused,
    foreign,
    scales,
)
from tests.support import both

SIZE, SHAPE = 8, (16, 32)  # of LAYER
CONFIG = {"quant_method": "awq", "bits": 4, "group_size": SIZE, "zero_point": True, "version": "gemm"}
SCHEME = Awq(SIZE)


def fill(name, shape):
    return scales(shape) if name.endswith("scales") else None


@pytest.fixture
def model(tmp_path):
    """(directory, its tensors)"""
    folder = tmp_path / "awq"
    return folder, foreign(folder, lambda *layer: packed_tensors(*layer, SCHEME), fill, quantization_config=CONFIG)


def by_hand(tensors):
    """The weight of LAYER by the words alone, with Python's integers."""
    words, zeros, scales = (tensors[f"{LAYER}.{name}"] for name in ("qweight", "qzeros", "scales"))
    weight, place = np.zeros(SHAPE), (0, 4, 1, 5, 2, 6, 3, 7)
    for o in range(SHAPE[0]):
        for i in range(SHAPE[1]):
            u, z = (
                (int(part[row, o // 8]) % 2**32) >> (4 * place[o % 8]) & 15
                for part, row in ((words, i), (zeros, i // SIZE))
            )
            weight[o, i] = float(scales[i // SIZE, o]) * (u - z)
    return weight


@both
def test_a_weight_is_what_the_words_say(engine, model):
    folder, tensors = model
    found = np.concatenate([rows for _, rows in weight_rows(open_checkpoint(folder), LAYER, SHAPE, engine)])
    np.testing.assert_array_equal(found, by_hand(tensors))
    _, params = load_model(folder, engine)
    weight = params[f"{LAYER}.weight"]
    assert isinstance(weight, engine.PackedWeight)
    np.testing.assert_allclose(engine.linear(np.eye(SHAPE[1], dtype=np.float32), weight).T, found, atol=1e-6)


def test_what_we_write_we_read():
    shapes = {"x": (8, 16)}
    for scheme in (SCHEME, Awq(None)):
        raw = json.loads(json.dumps(quantization_config(scheme, ["lm_head"])))
        assert parse_quantization_config(raw, shapes) == dict.fromkeys(shapes, scheme)


SETTINGS = [
    *({"bits": bits} for bits in (..., None, 0, 3, 8, 33, "4", 4.0, True, [4])),
    *({"group_size": size} for size in (..., None, 0, -2, 2**25, 2**63, "8", 8.0, True, [8], 3, 64)),
    *({"zero_point": zero} for zero in (..., False, None, 1, "true")),
    *({"version": version} for version in ("gemv", "marlin", "", 2, None, ["gemm"])),
    *({"quant_method": method} for method in ("awq2", None, 3, ["awq"])),
    *({"modules_to_not_convert": kept} for kept in ("lm_head", [1], {"lm_head": True})),
]


@pytest.mark.parametrize("changes", SETTINGS, ids=str)
def test_a_setting_that_is_none_of_ours_is_refused(model, changes):
    check_setting_refused(model[0], changes, "quantization_config")


TENSORS = {
    **altered("missing", "qzeros", "scales"),
    **altered("in int64", "qweight", "qzeros"),
    **altered("turned", "qweight", "qzeros", "scales"),
    **altered("a row short", "qweight", "qzeros", "scales"),
    **altered("empty", "qweight", "qzeros", "scales"),
    **altered("with an axis more", "qweight", "qzeros", "scales"),
    **altered("as int16", "scales"),
    "a weight too": {"weight": np.ones(SHAPE, np.float16)},
    "a bias": {"bias": np.ones(SHAPE[0], np.float16)},
    "a g_idx": {"g_idx": np.arange(SHAPE[1], dtype=np.int32) // SIZE},
    "words of GPTQ": {"qweight": lambda array: array.reshape(SHAPE[1] // 8, SHAPE[0])},
}


@pytest.mark.parametrize("changes", TENSORS.values(), ids=TENSORS)
def test_tensors_that_do_not_fit_are_refused(model, changes):
    check_tensors_refused(*model, changes)


@pytest.mark.parametrize("number", [0.0, float("nan"), float("inf")])
def test_scales_that_mean_nothing_are_refused(model, number):
    check_numbers_refused(*model, {"scales": lambda array: np.full_like(array, number)})


@pytest.mark.parametrize(
    ("shape", "text"),
    [((8, 20), "group_size=8 does not divide the 20 inputs of layer x"), ((12, 16), "does not divide the 12 outputs")],
)
def test_shapes_that_do_not_fill_words_are_refused(shape, text):
    with pytest.raises(FormatError, match=text):
        packed_tensors("x", shape, SCHEME)
