"""ONNX files: every malformed one refused with one typed error, before anything is believed."""

import os
import pathlib
import random

import numpy as np
import pytest

import refq
from refq.errors import FileError
from refq.files import onnx_wire
from refq.jobs.onnx import open_model
from refq.jobs.onnx_import import import_onnx
from refq.jobs.onnx_write import write_onnx
from refq.jobs.plan import Options
from refq.jobs.quantize import quantize_model
from tests.files.models import model

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
LAYER = "model.layers.0.mlp.up_proj"
PACKED, SCALES, ZEROS = (f"{LAYER}.weight_{part}" for part in ("Q4", "scales", "zero_points"))
NORM = "model.norm.weight"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The bytes of a graph, and of the file of its weights."""
    folder = tmp_path_factory.mktemp("good")
    model(folder / "float", num_hidden_layers=1, intermediate_size=40)
    quantize_model(
        folder / "float", folder / "model", refq, Options(group_size=16, symmetric=False, fallback="channel")
    )
    write_onnx(folder / "model", folder / "x.onnx", refq)
    return (folder / "x.onnx").read_bytes(), (folder / "x.onnx.data").read_bytes()


def read(path):
    """Everything that a reader reads."""
    return import_onnx(path, path.parent / "out", refq)


def node(proto, output):
    return next(one for one in proto.graph.node if output in one.output)


def tensor(proto, name):
    return next(one for one in proto.graph.initializer if one.name == name)


def attribute(name, value, output=f"{LAYER}/MatMul"):
    """A change of a number in a node; None takes it away."""

    def change(proto):
        found = node(proto, output).attribute
        [one] = [one for one in found if one.name == name]
        if value is None:
            found.remove(one)
        else:
            one.i = value

    return change


def more(name, value, output=f"{LAYER}/MatMul"):
    return lambda proto: node(proto, output).attribute.append(onnx.helper.make_attribute(name, value))


def wired(output, *inputs):
    """A change of the inputs of a node."""

    def change(proto):
        node(proto, output).ClearField("input")
        node(proto, output).input.extend(inputs)

    return change


def field(name, key, value):
    """A change of an initializer; None takes the field away."""

    def change(proto):
        one = tensor(proto, name)
        one.ClearField(key)
        if isinstance(value, list):
            getattr(one, key).extend(value)
        elif value is not None:
            setattr(one, key, value)

    return change


def place(key, value, name=PACKED):
    """A change of where external data lies; None takes the entry away."""

    def change(proto):
        found = tensor(proto, name).external_data
        [one] = [one for one in found if one.key == key]
        if value is None:
            found.remove(one)
        else:
            one.value = value

    return change


def within(name, array):
    """A tensor of other numbers, in the graph itself."""

    def change(proto):
        tensor(proto, name).CopyFrom(onnx.numpy_helper.from_array(array, name))

    return change


def metadata(key, value):
    """Another text of metadata; None takes it away."""

    def change(proto):
        found = proto.metadata_props
        for one in [one for one in found if one.key == key]:
            found.remove(one)
        if value is not None:
            found.add(key=key, value=value)

    return change


def config(old, new):
    def change(proto):
        [one] = [one for one in proto.metadata_props if one.key == "refq/config.json"]
        assert old in one.value
        one.value = one.value.replace(old, new)

    return change


def without(kind, name):
    """A graph without a node, by its output, or without an initializer, input or output."""

    def change(proto):
        found = getattr(proto.graph, kind)
        found.remove(node(proto, name) if kind == "node" else next(one for one in found if one.name == name))

    return change


def opset(domain, version):
    def change(proto):
        for one in [one for one in proto.opset_import if one.domain == domain]:
            proto.opset_import.remove(one)
        proto.opset_import.add(domain=domain, version=version)

    return change


def again(kind, name):
    def change(proto):
        found = getattr(proto.graph, kind)
        found.append(node(proto, name) if kind == "node" else tensor(proto, name))

    return change


MUL = "model.norm/Mul"
SPLIT = "model.layers.0.self_attn.q_proj/first"
NODES = {
    "no graph": (lambda p: p.ClearField("graph"), "no graph"),
    "no version": (lambda p: p.ClearField("ir_version"), "no ir_version"),
    "older operators": (opset("", 17), "version 17 of the operators '';"),
    "newer operators": (opset("", 23), "version 23"),
    "other operators": (opset("ai.onnx.ml", 3), "only that of ONNX"),
    "newer operators of the runtime": (opset("com.microsoft", 2), "version 2 of the operators 'com.microsoft'"),
    "a function": (lambda p: p.functions.add(name="f"), "field 25 of a message 'model'"),
    "training": (lambda p: p.training_info.add(), "field 20 of a message 'model'"),
    "a sparse weight": (lambda p: p.graph.sparse_initializer.add(), "field 15 of a message 'graph'"),
    "an annotation": (lambda p: p.graph.quantization_annotation.add(), "field 14 of a message 'graph'"),
    "a node less": (without("node", MUL), "model.norm/Mul.*is missing"),
    "a node twice": (again("node", MUL), "stands there twice"),
    "a node more": (lambda p: p.graph.node.add(op_type="Neg", input=["logits"], output=["y"]), "it has no place"),
    "a node of no output": (lambda p: p.graph.node.add(op_type="Neg", input=["logits"]), "it has no place"),
    "another operator": (lambda p: setattr(node(p, MUL), "op_type", "Add"), "'Add'; it has no place"),
    "another domain": (lambda p: setattr(node(p, MUL), "domain", "com.microsoft"), "it has no place"),
    "another weight": (wired(MUL, "model.norm/Div", "model.layers.0.input_layernorm.weight"), "it has no place"),
    "inputs changed round": (wired(MUL, NORM, "model.norm/Div"), "it has no place"),
    "another axis": (attribute("axis", 0, SPLIT), "it has no place"),
    "an attribute less": (attribute("axis", None, SPLIT), "it has no place"),
    "an attribute more": (more("weight_prepacked", 1), "it has no place"),
    "an attribute twice": (more("bits", 4), "appears twice"),
    "an attribute that is a float": (more("eps", 1.0), "field 2 of a message 'attribute'"),
    "an attribute that is a text": (more("mode", "x"), "field 4 of a message 'attribute'"),
    "an attribute that is a graph": (more("then", onnx.helper.make_graph([], "g", [], [])), "field 6"),
    "an attribute of nothing": (lambda p: node(p, MUL).attribute.add(name="x"), "neither an integer nor a list"),
    "an input less": (without("input", "position_ids"), "the inputs are"),
    "an output less": (without("output", "present.0.key"), "the outputs are"),
    "an input of another name": (lambda p: setattr(p.graph.input[0], "name", "ids"), "the inputs are"),
    "another K": (attribute("K", 32), "N=40, K=32, bits=4"),
    "another N": (attribute("N", 2**40), "N=1099511627776"),
    "no K": (attribute("K", None), "K=None"),
    "3 bits": (attribute("bits", 3), "bits=3"),
    "8 bits": (attribute("bits", 8), "it has no place"),
    "blocks of 24": (attribute("block_size", 24), "block_size=24"),
    "blocks of 512": (attribute("block_size", 512), "block_size=512"),
    "blocks of 0": (attribute("block_size", 0), "block_size=0"),
    "blocks of -16": (attribute("block_size", -16), "block_size=-16"),
    "blocks of 32": (attribute("block_size", 32), "has shape"),
    "no zero points": (wired(f"{LAYER}/MatMul", *["x"] * 3), "it has no place"),
    "an order of inputs": (lambda p: node(p, f"{LAYER}/MatMul").input.append("g_idx"), "it has no place"),
}
TENSORS = {
    "no codes": (without("initializer", PACKED), "weight_Q4 of shape"),
    "no scales": (without("initializer", SCALES), "weight_scales of shape"),
    "no norm": (without("initializer", NORM), "model.norm.weight of shape"),
    "no constant": (without("initializer", "norm/eps"), "constant 'norm/eps'"),
    "a tensor more": (lambda p: p.graph.initializer.append(onnx.numpy_helper.from_array(np.ones(2), "x")), "no place"),
    "a tensor twice": (again("initializer", NORM), "appears twice"),
    "a tensor of no name": (field(NORM, "name", None), "tensor '' has no place|is missing"),
    "scales of float16": (field(SCALES, "data_type", 10), "data_type 10"),
    "scales of no type": (field(SCALES, "data_type", None), "data_type None"),
    "codes that are signed": (field(PACKED, "data_type", 3), "data_type 3"),
    "codes as float32": (field(PACKED, "data_type", 1), "has 1280 bytes"),
    "an axis less": (field(PACKED, "dims", [40, 8]), "has shape"),
    "another shape of as many": (field(PACKED, "dims", [20, 1, 16]), "has shape"),
    "an axis of -1": (field(PACKED, "dims", [40, 1, -8]), "has shape"),
    "two axes of -1": (field(PACKED, "dims", [-1, -320]), "has shape"),
    "nine axes": (field(PACKED, "dims", [1] * 9), "at most 8 axes"),
    "2**62 numbers": (field(PACKED, "dims", [2**31, 2**31]), "at most 8 axes and"),
    "2**64 numbers": (field(PACKED, "dims", [2**32, 2**32]), "at most 8 axes and"),
    "2**47 numbers": (field(PACKED, "dims", [2**47]), "are not so many"),
    "data in fields": (lambda p: tensor(p, NORM).float_data.append(1.0), "field 4 of a message 'tensor'"),
    "no data": (field(NORM, "data_location", 0), "one of the two"),
    "data twice": (field(NORM, "raw_data", bytes(64)), "one of the two"),
    "an epsilon of 1": (within("norm/eps", np.float32(1)), "constant 'norm/eps'"),
    "other frequencies": (within("rotary/frequencies", np.float64([1, 0.5])), "constant 'rotary/frequencies'"),
    "frequencies of float32": (within("rotary/frequencies", np.float32([1, 0.01])), "constant 'rotary/frequencies'"),
    "another shape of heads": (within("[0,0,4,4]", np.int64([0, 0, 2, 8])), "constant"),
    "a scale of 0": (within(SCALES, np.zeros((40, 1), np.float32)), "weight_scales holds 0"),
    "a scale of NaN": (within(SCALES, np.full((40, 1), np.nan, np.float32)), "is nan"),
    "a norm of infinity": (within(NORM, np.full(16, np.inf, np.float32)), "is inf"),
    "several scales a row of a part of a block": (lambda p: parts_of_blocks(p), "no whole blocks of 16"),
}
PLACES = {
    "a path upwards": (place("location", "../x.onnx.data"), "the plain name"),
    "an absolute path": (place("location", "/etc/passwd"), "the plain name"),
    "a folder": (place("location", "a/x.onnx.data"), "the plain name"),
    "a folder of Windows": (place("location", "a\\x.onnx.data"), "the plain name"),
    "the folder above": (place("location", ".."), "the plain name"),
    "the folder itself": (place("location", "."), "the plain name"),
    "NUL": (place("location", "x\0"), "the plain name"),
    "a name of 256": (place("location", "x" * 256), "the plain name"),
    "no name": (place("location", None), "the plain name"),
    "another file": (place("location", "y.data"), "the file is missing"),
    "a link that leaves": (place("location", "link"), "leaves the directory"),
    "a link to nowhere": (place("location", "nowhere"), "is missing|leads nowhere"),
    "a pipe": (place("location", "pipe"), "not a regular file"),
    "a directory": (place("location", "folder"), "not a regular file"),
    "an offset of -4": (place("offset", "-4"), "decimal numbers"),
    "an offset of 1e3": (place("offset", "1e3"), "decimal numbers"),
    "an offset in other digits": (place("offset", "\u0661"), "decimal numbers"),
    "an offset of 10**20": (place("offset", "1" + "0" * 20), "decimal numbers"),
    "an offset beyond the end": (place("offset", "1000000000"), "not there"),
    "no length": (place("length", None), "decimal numbers"),
    "a length of one less": (place("length", "319"), "not so many"),
    "a length of one more": (place("length", "321"), "not so many"),
    "an unknown entry": (lambda p: tensor(p, PACKED).external_data.add(key="basepath", value="/"), "has the keys"),
    "an entry twice": (lambda p: tensor(p, PACKED).external_data.add(key="offset", value="0"), "has the keys"),
}
CONFIGS = {
    "no config": (metadata("refq/config.json", None), "config.json is missing"),
    "a config that is a list": (metadata("refq/config.json", "[]"), "an object is needed"),
    "a config that is cut off": (metadata("refq/config.json", "{"), "not valid JSON"),
    "a config of many brackets": (metadata("refq/config.json", "[" * 200_000), "JSON arrays and objects"),
    "a config of 2 MB": (metadata("refq/config.json", " " * 2**21), "larger than"),
    "2**31 layers": (config('"num_hidden_layers": 1', '"num_hidden_layers": 2147483648'), "num_hidden_layers is"),
    "a layer more": (config('"num_hidden_layers": 1', '"num_hidden_layers": 2'), "is missing|no place"),
    "another width": (config('"hidden_size": 16', '"hidden_size": 32'), "K=16"),
    "another architecture": (config("LlamaForCausalLM", "GPT2LMHeadModel"), "architectures is"),
    "a tied head": (config('"tie_word_embeddings": false', '"tie_word_embeddings": true'), "no place"),
    "no tokenizer": (metadata("refq/tokenizer.json", None), "tokenizer.json"),
    "a tokenizer of nothing": (metadata("refq/tokenizer.json", "{}"), "tokenizer.json"),
    "a file elsewhere": (metadata("refq/LICENSE/../../x", "x"), "no place in a model directory"),
    "weights beside": (metadata("refq/model.safetensors", "x"), "no place in a model directory"),
    "a key twice": (lambda p: p.metadata_props.add(key="refq", value=""), "appears twice"),
}
ALL = NODES | TENSORS | PLACES | CONFIGS
BYTES = {
    "nothing": (lambda raw: b"", "no graph"),
    "a byte": (lambda raw: b"\x08", "cut off"),
    "a half": (lambda raw: raw[: len(raw) // 2], "leave their message|cut off"),
    "a byte less": (lambda raw: raw[:-1], "leave their message|cut off"),
    "a byte more": (lambda raw: raw + b"\x08", "cut off"),
    "text": (lambda raw: b"import onnx\n" * 9, "is not read|wire type|leave their message"),
    "zeros": (lambda raw: bytes(64), "field 0 of a message 'model'"),
    "a number of eleven bytes": (lambda raw: b"\x08" + b"\xff" * 11, "more than ten bytes"),
    "a length of 2**63": (lambda raw: b"\x3a" + b"\xff" * 8 + b"\x7f", "leave their message"),
    "a group": (lambda raw: b"\x3b\x3c", "wire type 3"),
    "a wire type of 7": (lambda raw: b"\x3f", "wire type 7"),
    "a graph that is a number": (lambda raw: b"\x08\x08\x38\x01", "graph of a message 'model' has wire type 0"),
    "two graphs": (lambda raw: raw + b"\x3a\x00", "stands there twice"),
    "two versions": (lambda raw: raw + b"\x08\x08", "stands there twice"),
    "no UTF-8": (lambda raw: b"\x42\x03\x0a\x01\xff" + raw, "is not UTF-8"),
    "many fields": (lambda raw: b"\x28\x01" * (onnx_wire.FIELDS + 1), "at most that many"),
    "many numbers": (lambda raw: long_message(onnx_wire.FIELDS), "at most that many"),
}


def long_message(count):
    """A model whose graph has one tensor of so many axes, packed."""
    raw = b"\x01" * count
    for tag in b"\x0a\x2a\x3a":
        raw = bytes([tag]) + varint(len(raw)) + raw
    return raw


def varint(n):
    return bytes([n & 127 | 128]) + varint(n >> 7) if n > 127 else bytes([n])


def parts_of_blocks(proto):
    """down_proj has 40 inputs: of three blocks of 16 with several scales the last is a part."""
    layer = "model.layers.0.mlp.down_proj"
    sizes = {one.name: one for one in node(proto, f"{layer}/MatMul").attribute}
    sizes["block_size"].i = 16
    within(f"{layer}.weight_Q4", np.zeros((16, 3, 8), np.uint8))(proto)
    within(f"{layer}.weight_scales", np.float32([[1, 2, 3]] * 16))(proto)
    within(f"{layer}.weight_zero_points", np.zeros((16, 2), np.uint8))(proto)


def lay(folder, raw, data):
    """The two files, and what else names of them may find."""
    inner = folder / "inner"
    inner.mkdir()
    (folder / "outside").write_bytes(data)
    (inner / "link").symlink_to(folder / "outside")
    (inner / "nowhere").symlink_to(inner / "nothing")
    (inner / "folder").mkdir()
    os.mkfifo(inner / "pipe")
    (inner / "x.onnx").write_bytes(raw)
    (inner / "x.onnx.data").write_bytes(data)
    return inner / "x.onnx"


def refused(path, sentence):
    with pytest.raises(FileError, match=sentence) as caught:
        read(path)
    assert str(path.parent) in str(caught.value) or "json" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (path.parent / "out").exists()
    assert not (path.parent / ".out.partial").exists()


def test_the_good_one(good, tmp_path):
    assert read(lay(tmp_path, *good))["layers"] == 7


@pytest.mark.parametrize("fault", ALL)
def test_a_model_that_contradicts_itself(good, tmp_path, fault):
    change, sentence = ALL[fault]
    proto = onnx.ModelProto.FromString(good[0])
    change(proto)
    refused(lay(tmp_path, proto.SerializeToString(), good[1]), sentence)


@pytest.mark.parametrize("fault", BYTES)
def test_bytes_that_are_no_model(good, tmp_path, fault):
    change, sentence = BYTES[fault]
    refused(lay(tmp_path, change(good[0]), good[1]), sentence)


def test_weights_that_are_cut_off(good, tmp_path):
    refused(lay(tmp_path, good[0], good[1][:-1]), "not there")


def test_no_weights(good, tmp_path):
    path = lay(tmp_path, *good)
    (path.parent / "x.onnx.data").unlink()
    refused(path, "the file is missing")


def test_a_graph_that_is_a_link_or_too_large(good, tmp_path):
    path = lay(tmp_path, *good)
    path.rename(tmp_path / "elsewhere.onnx")
    path.symlink_to(tmp_path / "elsewhere.onnx")
    refused(path, "leaves the directory")
    path.unlink()
    with open(path, "wb") as file:
        file.truncate(2**28 + 1)
    refused(path, "at most 268435456 are read")


def test_weights_that_change_while_they_are_read(good, tmp_path):
    path = lay(tmp_path, *good)
    checkpoint, _ = open_model(path, refq)
    (path.parent / "x.onnx.data").write_bytes(good[1])
    with pytest.raises(FileError, match="has changed"):
        checkpoint.read(NORM)


def test_bytes_changed_at_random(good, tmp_path):
    """A file that differs in a byte is refused by a typed error, or says the same but for names and makers."""
    path, chance, read_on = lay(tmp_path, *good), random.Random(0), 0
    expected = open_model(path, refq)[0]
    for _ in range(300):
        raw = bytearray(good[0])
        raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
        pathlib.Path(path).write_bytes(raw)
        try:
            found, _ = open_model(path, refq)
        except FileError:
            continue
        read_on += 1
        assert found.schemes == expected.schemes
        assert found.tensors.keys() == expected.tensors.keys()
    assert read_on < 200
