"""refq-codebook: what config.json may say, what the tensors must be, and what a damaged directory is refused for."""

import json
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

import refq
from refq.errors import CheckpointError, FormatError
from refq.files.checkpoint import open_checkpoint
from refq.files.codebook import Codebooks, packed_tensors, parse_quantization_config, quantization_config
from refq.jobs.model import load_model
from refq.jobs.plan import Options
from refq.jobs.quantize import quantize_model
from tests.files.models import model, save, sharded

SHAPES = {"a.q_proj": (8, 16), "a.down_proj": (16, 24), "lm_head": (24, 16)}
KMEANS = Codebooks(3, "group", 8, "kmeans")
RIGHT = quantization_config(KMEANS, ["lm_head"])
FILE = "refq-codebook.safetensors"
LAYER = "model.layers.0.mlp.down_proj"


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("size", ["tensor", "channel", 8])
def test_what_we_write_we_read(bits, size):
    scheme = Codebooks(bits, size if isinstance(size, str) else "group", None if isinstance(size, str) else size, "nf4")
    raw = json.loads(json.dumps(quantization_config(scheme, ["lm_head"])))
    assert parse_quantization_config(raw, SHAPES) == {"a.q_proj": scheme, "a.down_proj": scheme}


def test_a_group_that_does_not_divide_means_a_codebook_a_channel():
    schemes = parse_quantization_config(RIGHT | {"group_size": 16}, SHAPES)
    assert schemes["a.q_proj"] == Codebooks(3, "group", 16, "kmeans")
    assert schemes["a.down_proj"] == Codebooks(3, "channel", None, "kmeans")


def test_a_tied_head_may_be_ignored_and_an_untied_one_quantized():
    tied = {name: shape for name, shape in SHAPES.items() if name != "lm_head"}
    assert list(parse_quantization_config(RIGHT, tied)) == list(tied)
    assert list(parse_quantization_config(RIGHT | {"ignore": []}, SHAPES)) == list(SHAPES)


@pytest.mark.parametrize(
    ("scheme", "index", "codebook"),
    [
        (Codebooks(3, "tensor", None, "x"), (5, 6), (1, 1, 8)),
        (Codebooks(1, "channel", None, "x"), (5, 2), (5, 1, 2)),
        (Codebooks(8, "group", 4, "x"), (5, 16), (5, 4, 256)),
    ],
)
def test_shapes(scheme, index, codebook):
    tensors = {"x.weight_index": (("U8",), index), "x.weight_codebook": (("F16",), codebook)}
    assert packed_tensors("x", (5, 16), scheme) == tensors


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"quant_method": "gptq"}, "quant_method is 'gptq'; 'refq-codebook' is needed"),
        ({"format_version": 2}, "format_version is 2; 1 is needed"),
        ({"format_version": True}, "format_version is True"),
        ({"format_version": ...}, "format_version is None"),
        ({"bits": 0}, "bits is 0; an integer of 1..8"),
        ({"bits": 9}, "bits is 9"),
        ({"bits": 3.0}, "bits is 3.0"),
        ({"group_size": 0}, "group_size is 0; 'channel', 'tensor' or a positive integer"),
        ({"group_size": "group"}, "group_size is 'group'"),
        ({"group_size": True}, "group_size is True"),
        ({"group_size": [8]}, r"group_size is \[8\]"),
        ({"scheme": None}, "scheme is None; a name"),
        ({"scheme": "k means"}, "scheme is 'k means'"),
        ({"ignore": "lm_head"}, "ignore is 'lm_head'; a list of names"),
        ({"ignore": [1]}, r"ignore is \[1\]"),
        ({"ignore": ["q_proj"]}, "ignore has 'q_proj', which is no linear layer"),
        ({"ignore": ["lm_head", "lm_head"]}, "ignore names a layer twice"),
        ({"ignore": ...}, "the keys are"),
        ({"desc_act": False}, "the keys are"),
    ],
    ids=str,
)
def test_refused(changes, message):
    raw = {key: value for key, value in (RIGHT | changes).items() if value is not ...}
    with pytest.raises(FormatError, match=f"^file: {message}"):
        parse_quantization_config(raw, SHAPES, "file")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 300) | st.floats(allow_nan=False) | st.sampled_from(["channel", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from([*RIGHT, "other"]), JSON))
def test_any_json_value_is_read_or_refused(changes):
    try:
        schemes = parse_quantization_config(RIGHT | changes, SHAPES)
    except FormatError:
        return
    for name, scheme in schemes.items():
        assert packed_tensors(name, SHAPES[name], scheme)


@pytest.fixture(scope="module")
def right(tmp_path_factory):
    folder = tmp_path_factory.mktemp("codebook")
    model(folder / "float", intermediate_size=27)  # 3 bits: 81 bits a row, 7 of the last byte are unused
    quantize_model(folder / "float", folder / "right", refq, Options(3, "channel", method="linear_mean"))
    return folder / "right"


def damaged(right, tmp_path, changes, config=None):
    """A copy whose tensors are changed (... takes one away) and whose quantization_config has other values."""
    folder = shutil.copytree(right, tmp_path / "damaged")
    tensors = {name: value for name, value in (load_file(right / FILE) | changes).items() if value is not ...}
    save(folder / FILE, dict(sorted(tensors.items(), key=lambda item: -item[1].itemsize)))
    raw = json.loads((folder / "config.json").read_text())
    raw["quantization_config"] |= config or {}
    (folder / "config.json").write_text(json.dumps(raw))
    return folder


def test_it_is_read(right):
    checkpoint = open_checkpoint(right)
    assert [file.rpartition("/")[2] for file in checkpoint.files] == [FILE]
    assert checkpoint.schemes[LAYER] == Codebooks(3, "channel", None, "linear_mean")
    assert checkpoint.read(f"{LAYER}.weight_index").shape == (16, 11)
    assert checkpoint.read(f"{LAYER}.weight_codebook").dtype == np.float16


@pytest.mark.parametrize(
    ("suffix", "value", "message"),
    [
        ("index", ..., f"tensor {LAYER}.weight_index of shape \\[16, 11\\] is missing"),
        ("codebook", ..., f"tensor {LAYER}.weight_codebook of shape \\[16, 1, 8\\] is missing"),
        ("index", np.zeros((16, 11), np.int8), f"tensor {LAYER}.weight_index is I8; U8 is needed"),
        ("index", np.zeros((16, 10), np.uint8), r"weight_index has shape \[16, 10\]; config.json asks for \[16, 11\]"),
        ("codebook", np.zeros((16, 1, 8), np.float32), "weight_codebook is F32; F16 is needed"),
        ("codebook", np.zeros((1, 1, 8), np.float16), r"weight_codebook has shape \[1, 1, 8\]"),
        ("codebook", np.zeros((16, 1, 16), np.float16), r"weight_codebook has shape \[16, 1, 16\]"),
        ("shape", np.int64([16, 27]), "weight_shape' has no place in this model"),
    ],
)
def test_tensors_that_cannot_be(right, tmp_path, suffix, value, message):
    with pytest.raises(CheckpointError, match=message) as caught:
        open_checkpoint(damaged(right, tmp_path, {f"{LAYER}.weight_{suffix}": value}))
    assert str(tmp_path / "damaged") in str(caught.value)


@pytest.mark.parametrize("entry", [np.nan, np.inf])
def test_an_entry_that_is_not_finite(right, tmp_path, entry):
    codebook = load_file(right / FILE)[f"{LAYER}.weight_codebook"].copy()
    codebook[3, 0, 7] = entry
    with pytest.raises(CheckpointError, match=rf"{FILE}: tensor {LAYER}.weight_codebook\[3, 0, 7\] is {entry}"):
        load_model(damaged(right, tmp_path, {f"{LAYER}.weight_codebook": codebook}), refq)


def test_a_bit_after_the_last_index(right, tmp_path):
    index = load_file(right / FILE)[f"{LAYER}.weight_index"].copy()
    index[5, -1] |= 128
    with pytest.raises(FormatError, match=f"{FILE}: tensor {LAYER}.weight_index: a bit after the last code is 1"):
        load_model(damaged(right, tmp_path, {f"{LAYER}.weight_index": index}), refq)


def test_a_config_of_other_tensors(right, tmp_path):
    for number, config in enumerate(({"bits": 4}, {"group_size": "tensor"}, {"ignore": []})):
        with pytest.raises(CheckpointError, match="asks for|is missing"):
            open_checkpoint(damaged(right, tmp_path / str(number), {}, config))


def test_only_files_of_its_own_names_are_read(right, tmp_path):
    folder = shutil.copytree(right, tmp_path / "renamed")
    (folder / FILE).rename(folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=f"{FILE}: the file is missing"):
        open_checkpoint(folder)


def test_shards_keep_their_names_and_have_an_index_of_their_own(tmp_path):
    sharded(tmp_path / "float")
    quantize_model(tmp_path / "float", tmp_path / "q", refq, Options(2, 8, method="quantile"))
    names = sorted(path.name for path in (tmp_path / "q").glob("*.safetensors*"))
    assert names == [*(f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)), f"{FILE}.index.json"]
    assert len(open_checkpoint(tmp_path / "q").schemes) == 14
