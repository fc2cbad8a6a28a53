"""refq-reassembled: what config.json may say, what the tensors must be, and what a damaged directory is refused for."""

import json
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

import refq
from refq.errors import CheckpointError, FormatError
from refq.files import compressed_tensors
from refq.files.checkpoint import open_checkpoint
from refq.files.compressed_tensors import Scheme
from refq.files.input_activations import Inputs
from refq.files.quantization import (
    attention_of,
    packed_tensors,
    parse_quantization_config,
    quantization_config,
    scheme_text,
    weights_stem,
)
from refq.files.reassembled import Attention, Outliers, Reassembled, Rotated
from refq.jobs.inspect import inspect_model
from refq.jobs.model import load_model
from refq.jobs.plan import plan_files
from tests.app import altered
from tests.files.models import save, sharded

SHAPES = {"a.q_proj": (8, 16), "a.o_proj": (16, 8), "a.up_proj": (24, 16), "a.down_proj": (16, 24), "lm_head": (32, 16)}
INPUTS = Scheme(4, False, "channel", None, Inputs(4, "token"))
INT8 = Scheme(8, True, "channel", None)
SCHEMES = {
    "a.q_proj": INPUTS._replace(transform=Reassembled(19, 17)),
    "a.o_proj": INPUTS._replace(transform=Rotated(4)),
    "a.up_proj": INT8._replace(transform=Outliers(6.0)),
    "a.down_proj": INPUTS,
}
RIGHT = quantization_config(SCHEMES, ["lm_head"], Attention(8, True))
GRID = RIGHT["attention_activations"]


def test_what_we_write_we_read():
    raw = json.loads(json.dumps(RIGHT))
    assert parse_quantization_config(raw, SHAPES) == SCHEMES
    assert list(parse_quantization_config(raw, SHAPES)) == list(SCHEMES)
    assert attention_of(raw) == Attention(8, True)
    assert weights_stem(raw) == "refq-reassembled"


def test_it_is_written_as_spec_says():
    """The keys beside those of compressed-tensors, word for word."""
    shared = quantization_config(
        {name: scheme._replace(transform=None) for name, scheme in SCHEMES.items()}, ["lm_head"]
    )
    assert shared["quant_method"] == "compressed-tensors"
    assert RIGHT == shared | {
        "quant_method": "refq-reassembled",
        "format_version": 1,
        "attention_activations": {
            "num_bits": 8,
            "type": "int",
            "symmetric": False,
            "strategy": "token",
            "dynamic": True,
        },
        "rotated_queries": True,
        "inputs": {
            "a.q_proj": {"kind": "reassembled", "members": 19, "channels": 17},
            "a.o_proj": {"kind": "rotated", "stride": 4},
            "a.up_proj": {"kind": "outliers", "threshold": 6.0},
        },
    }


@pytest.mark.parametrize(
    ("attention", "method"),
    [
        (Attention(), "compressed-tensors"),
        (Attention(4), "refq-reassembled"),
        (Attention(None, True), "refq-reassembled"),
    ],
)
def test_the_most_public_format_that_can_say_it(attention, method):
    raw = quantization_config({"a.q_proj": INPUTS}, ["lm_head", "a.o_proj", "a.up_proj", "a.down_proj"], attention)
    assert raw["quant_method"] == method
    assert parse_quantization_config(raw, SHAPES) == {"a.q_proj": INPUTS}
    assert attention_of(raw) == attention
    assert attention_of(None) == Attention()


def test_shapes():
    """The weight has the channels that the reassembly makes, whatever the model's."""
    for scheme in (INPUTS, Scheme(3, False, "group", 17), Scheme(4, True, "tensor", None, Inputs(8, "tensor"))):
        reassembled = scheme._replace(transform=Reassembled(19, 17))
        index = {f"x.input_{part}": (("I32",), (n,)) for part, n in (("members", 19), ("sizes", 17), ("divisors", 17))}
        assert packed_tensors("x", (8, 16), reassembled) == packed_tensors("x", (8, 17), scheme) | index
        for transform in (Rotated(4), Rotated()):
            assert packed_tensors("x", (8, 17), scheme._replace(transform=transform)) == packed_tensors(
                "x", (8, 17), scheme
            )
    assert packed_tensors("x", (8, 16), INT8._replace(transform=Outliers())) == compressed_tensors.packed_tensors(
        "x", (8, 16), INT8
    )


def test_a_group_must_divide_the_channels_that_are_stored():
    raw = quantization_config({"a.q_proj": Scheme(4, True, "group", 16, None, Reassembled(19, 17))}, [])
    schemes = parse_quantization_config(raw | {"ignore": list(SHAPES)[1:]}, SHAPES)
    with pytest.raises(FormatError, match="file: group_size=16 does not divide the 17 inputs of layer a.q_proj"):
        packed_tensors("a.q_proj", (8, 16), schemes["a.q_proj"], "file")


def test_how_a_table_names_them():
    assert scheme_text(SCHEMES["a.q_proj"]) == "int4 channel asym, input int4 token, reassembled"
    assert scheme_text(SCHEMES["a.o_proj"]) == "int4 channel asym, input int4 token, rotated over heads"
    assert scheme_text(SCHEMES["a.up_proj"]) == "int8 channel sym, input int8 token but for outliers of 6"


def entry(layer, **changes):
    """The key `inputs` with a change of one layer; ... takes a key away."""
    found = RIGHT["inputs"].get(layer, {}) | changes
    return {"inputs": RIGHT["inputs"] | {layer: {key: value for key, value in found.items() if value is not ...}}}


Q, O, UP = "a.q_proj", "a.o_proj", "a.up_proj"
REFUSED = [
    ({"format_version": 2}, "file: format_version is 2; 1 is needed"),
    ({"format_version": True}, "file: format_version is True"),
    ({"format_version": ...}, "file: format_version is None"),
    ({"inputs": ...}, "file: the keys are"),
    ({"rotated_queries": ...}, "file: the keys are"),
    ({"attention_activations": ...}, "file: the keys are"),
    ({"ignore": ...}, "file: the keys are"),
    ({"kv_cache_scheme": None}, "file: the keys are"),
    ({"format": "int-quantized"}, "file: format is 'int-quantized'; 'pack-quantized' is needed"),
    ({"config_groups": {}}, "file: config_groups"),
    ({"ignore": [1]}, r"file: ignore is \[1\]"),
    ({"rotated_queries": 1}, "file: rotated_queries is 1; true or false"),
    ({"rotated_queries": None}, "file: rotated_queries is None"),
    ({"attention_activations": 4}, "file has attention_activations 4; null or some of"),
    ({"attention_activations": GRID | {"num_bits": 1}}, "file has attention_activations with num_bits 1; 2..16"),
    ({"attention_activations": GRID | {"symmetric": True}}, "file has attention_activations with symmetric True"),
    ({"attention_activations": GRID | {"dynamic": False}}, "file has attention_activations with strategy 'token', dyn"),
    (
        {"attention_activations": GRID | {"strategy": "tensor", "dynamic": False}},
        "file has attention_activations with strategy 'tensor'; 'token' is needed",
    ),
    ({"inputs": []}, r"file: inputs is \[\]; an object of layers"),
    ({"inputs": None}, "file: inputs is None"),
    ({"inputs": {"a.k_proj": {"kind": "rotated", "stride": 1}}}, "file: inputs has 'a.k_proj', which is no quantized"),
    (
        {"inputs": {"lm_head": {"kind": "rotated", "stride": 1}}},
        "file: inputs has 'lm_head', which is no quantized lay",
    ),
    ({"inputs": {Q: []}}, rf"file: inputs of {Q} has \[\]; a kind of reassembled, rotated, outliers"),
    (entry(Q, kind="smoothed"), rf"file: inputs of {Q} has .*smoothed.*; a kind of"),
    (entry(Q, kind=["rotated"]), f"file: inputs of {Q} has"),
    (entry(Q, kind=...), f"file: inputs of {Q} has"),
    (entry(Q, kind="rotated"), f"file: inputs of {Q} has the keys .*; kind, stride are needed"),
    (entry(Q, channels=...), f"file: inputs of {Q} has the keys .*; kind, members, channels are needed"),
    (entry(Q, divisors=3), f"file: inputs of {Q} has the keys"),
    (entry(Q, channels=20), f"file: inputs of {Q} has members 19, channels 20; 1 <= channels <= members <= 1048576"),
    (entry(Q, channels=0), f"file: inputs of {Q} has members 19, channels 0"),
    (entry(Q, channels=True), f"file: inputs of {Q} has members 19, channels True"),
    (entry(Q, members=19.0), f"file: inputs of {Q} has members 19.0"),
    (entry(Q, members="19"), f"file: inputs of {Q} has members '19'"),
    (entry(Q, members=2**20 + 1), f"file: inputs of {Q} has members 1048577"),
    (entry(O, stride=3), f"file: inputs of {O} has stride 3; a divisor of its 8 channels"),
    (entry(O, stride=0), f"file: inputs of {O} has stride 0"),
    (entry(O, stride=-4), f"file: inputs of {O} has stride -4"),
    (entry(O, stride=True), f"file: inputs of {O} has stride True"),
    (entry(O, stride=4.0), f"file: inputs of {O} has stride 4.0"),
    (entry(UP, threshold=0), f"file: inputs of {UP} has threshold 0; a number of"),
    (entry(UP, threshold=-6.0), f"file: inputs of {UP} has threshold -6.0"),
    (entry(UP, threshold=1e300), f"file: inputs of {UP} has threshold 1e.300"),
    (entry(UP, threshold=None), f"file: inputs of {UP} has threshold None"),
    (entry(UP, threshold=True), f"file: inputs of {UP} has threshold True"),
    (
        {"inputs": {Q: {"kind": "outliers", "threshold": 6.0}}},
        f"file: inputs of {Q} has outliers beside 4 bits, channel, symmetric False, inputs that have a grid; 8,",
    ),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED, ids=str)
def test_refused(changes, message):
    raw = {key: value for key, value in (RIGHT | changes).items() if value is not ...}
    with pytest.raises(FormatError, match=f"^{message}"):
        parse_quantization_config(raw, SHAPES, "file")


def test_a_rotation_wider_than_the_transform_takes():
    raw = quantization_config({"x": INPUTS._replace(transform=Rotated())}, [])
    with pytest.raises(FormatError, match="stride 1; a divisor of its 131072 channels that leaves at most 65536"):
        parse_quantization_config(raw, {"x": (4, 2**17)})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 300) | st.floats(allow_nan=False) | st.sampled_from(["rotated", Q]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([Q, UP, "kind", "stride", "threshold", "members", "channels"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*RIGHT, "other"]), JSON), st.dictionaries(st.sampled_from([Q, O, UP]), JSON))
def test_any_json_value_is_read_or_refused(changes, inputs):
    raw = RIGHT | {"inputs": RIGHT["inputs"] | inputs} | changes
    try:
        schemes, attention = parse_quantization_config(raw, SHAPES), attention_of(raw)
    except FormatError:
        return
    assert attention == Attention(8, True) or changes
    for name, scheme in schemes.items():
        assert packed_tensors(name, SHAPES[name], scheme)


@pytest.fixture(scope="module")
def right(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reassembled")
    altered.write_altered(folder)
    return folder / "altered"


LAYER, FILE = "model.layers.0.self_attn.k_proj", altered.FILE


def damaged(right, tmp_path, changes, inputs=None):
    """A copy whose tensors are changed (... takes one away) and whose key `inputs` has other entries."""
    folder = shutil.copytree(right, tmp_path / "damaged")
    tensors = {name: value for name, value in (load_file(right / FILE) | changes).items() if value is not ...}
    save(folder / FILE, dict(sorted(tensors.items(), key=lambda item: -item[1].itemsize)))
    raw = json.loads((folder / "config.json").read_text())
    raw["quantization_config"]["inputs"] |= inputs or {}
    (folder / "config.json").write_text(json.dumps(raw))
    return folder


def test_it_is_read(right):
    checkpoint = open_checkpoint(right)
    assert [file.rpartition("/")[2] for file in checkpoint.files] == [FILE]
    assert checkpoint.schemes[LAYER].transform == Reassembled(67, 67)
    assert checkpoint.read(f"{LAYER}.weight_shape").tolist() == [32, 67]
    assert (checkpoint.config["attention_activations"], checkpoint.config["rotated_queries"]) == (4, True)


INDEX = np.arange(67, dtype=np.int32)


@pytest.mark.parametrize(
    ("tensor", "value", "message"),
    [
        ("input_members", ..., rf"tensor {LAYER}.input_members of shape \[67\] is missing"),
        ("input_sizes", ..., rf"tensor {LAYER}.input_sizes of shape \[67\] is missing"),
        ("input_divisors", ..., rf"tensor {LAYER}.input_divisors of shape \[67\] is missing"),
        ("input_members", INDEX.astype(np.int64), f"{FILE}: tensor {LAYER}.input_members is I64; I32 is needed"),
        ("input_sizes", INDEX.astype(np.float32), f"{FILE}: tensor {LAYER}.input_sizes is F32; I32 is needed"),
        ("input_divisors", INDEX.view(np.uint32), f"{FILE}: tensor {LAYER}.input_divisors is U32; I32 is needed"),
        ("input_members", INDEX[:66], rf"{FILE}: tensor {LAYER}.input_members has shape \[66\]; config.json asks for"),
        ("input_sizes", INDEX[:, None], rf"{FILE}: tensor {LAYER}.input_sizes has shape \[67, 1\]; config.json asks"),
        ("weight_shape", np.int64([32, 64]), rf"{FILE}: tensor {LAYER}.weight_shape holds \[32, 64\]; .* \[32, 67\]"),
        ("input_scale", np.float32([1]), f"{FILE}: tensor '{LAYER}.input_scale' has no place in this model"),
    ],
)
def test_tensors_that_cannot_be(right, tmp_path, tensor, value, message):
    with pytest.raises((CheckpointError, FormatError), match=message) as caught:
        open_checkpoint(damaged(right, tmp_path, {f"{LAYER}.{tensor}": value}))
    assert str(tmp_path / "damaged") in str(caught.value)


@pytest.mark.parametrize(
    ("tensor", "place", "value", "message"),
    [
        ("input_members", 5, 64, r"members\[5\] is 64; 0..63 is needed"),
        ("input_members", 66, -1, r"members\[66\] is -1; 0..63 is needed"),
        ("input_sizes", 3, 0, r"sizes\[3\] is 0; 1..67 is needed"),
        ("input_sizes", 3, -1, r"sizes\[3\] is -1; 1..67 is needed"),
        ("input_sizes", 3, 2**31 - 1, r"sizes\[3\] is 2147483647; 1..67 is needed"),
        ("input_sizes", 3, 2, "sizes adds up to 68; the 67 members are needed"),
        ("input_divisors", 0, 0, r"divisors\[0\] is 0; 1..2147483647 is needed"),
        ("input_divisors", 9, -2, r"divisors\[9\] is -2; 1..2147483647 is needed"),
    ],
)
def test_an_index_that_breaks_its_rule(right, tmp_path, tensor, place, value, message):
    name = f"{LAYER}.{tensor}"
    index = load_file(right / FILE)[name].copy()
    index[place] = value
    folder = damaged(right, tmp_path, {name: index})
    with pytest.raises(CheckpointError, match=f"{FILE}: tensor {LAYER}.input_{message}"):
        load_model(folder, refq)
    with pytest.raises(CheckpointError, match=f"{FILE}: tensor {LAYER}.input_{message}"):
        inspect_model(folder, right.parent / "float", refq)


def test_a_config_of_other_tensors(right, tmp_path):
    changes = [
        {LAYER: {"kind": "reassembled", "members": 66, "channels": 66}},
        {LAYER: {"kind": "rotated", "stride": 1}},
        {"model.layers.0.self_attn.o_proj": {"kind": "reassembled", "members": 64, "channels": 64}},
    ]
    for number, inputs in enumerate(changes):
        with pytest.raises(CheckpointError, match="asks for|is missing|has no place"):
            open_checkpoint(damaged(right, tmp_path / str(number), {}, inputs))


def test_only_files_of_its_own_names_are_read(right, tmp_path):
    folder = shutil.copytree(right, tmp_path / "renamed")
    (folder / FILE).rename(folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=f"{FILE}: the file is missing"):
        open_checkpoint(folder)


def test_shards_keep_their_names(tmp_path):
    sharded(tmp_path / "float")
    checkpoint = open_checkpoint(tmp_path / "float")
    names = [name.removesuffix(".weight") for name in checkpoint.tensors if name.endswith("_proj.weight")]
    files = plan_files(checkpoint, dict.fromkeys(names, INPUTS._replace(transform=Rotated())))
    assert sorted(files) == [f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)]
