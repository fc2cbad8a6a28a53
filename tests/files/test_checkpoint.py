"""refq.files.checkpoint and shards: a model directory is what its config and its index say, or is refused."""

import json
import os

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refq.errors import CheckpointError, FileError, FormatError
from refq.files.checkpoint import check_finite, linear_names, llama_tensors, open_checkpoint
from refq.files.compressed_tensors import Scheme, quantization_config
from refq.files.config import read_config
from refq.files.safetensors import read_header
from tests.files.models import arrays, model, save, sharded, write_config, write_index

Q0, EMBED, HEAD = "model.layers.0.self_attn.q_proj", "model.embed_tokens.weight", "lm_head.weight"
QWEN2 = {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]}


def refused(directory, *parts, error=CheckpointError):
    """Opening fails with one sentence that holds every part."""
    with pytest.raises(error) as refusal:
        open_checkpoint(directory)
    for part in parts:
        assert part in str(refusal.value)
    assert str(directory) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_names_and_shapes(tmp_path):
    path = write_config(tmp_path, head_dim=6, attention_bias=True, mlp_bias=True, num_hidden_layers=1)
    config = read_config(path)
    layer = "model.layers.0."
    assert llama_tensors(config) == {
        EMBED: (24, 16),
        layer + "self_attn.q_proj.weight": (24, 16),
        layer + "self_attn.q_proj.bias": (24,),
        layer + "self_attn.k_proj.weight": (12, 16),
        layer + "self_attn.k_proj.bias": (12,),
        layer + "self_attn.v_proj.weight": (12, 16),
        layer + "self_attn.v_proj.bias": (12,),
        layer + "self_attn.o_proj.weight": (16, 24),
        layer + "self_attn.o_proj.bias": (16,),
        layer + "mlp.gate_proj.weight": (32, 16),
        layer + "mlp.gate_proj.bias": (32,),
        layer + "mlp.up_proj.weight": (32, 16),
        layer + "mlp.up_proj.bias": (32,),
        layer + "mlp.down_proj.weight": (16, 32),
        layer + "mlp.down_proj.bias": (16,),
        layer + "input_layernorm.weight": (16,),
        layer + "post_attention_layernorm.weight": (16,),
        "model.norm.weight": (16,),
        HEAD: (24, 16),
    }
    assert linear_names(config) == [
        layer + name
        for name in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj")
        + ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
    ]


@pytest.mark.parametrize("changes", [{}, {"tie_word_embeddings": True}, {"attention_bias": True}, QWEN2])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
def test_one_file(changes, dtype, tmp_path):
    directory = model(tmp_path / "m", dtype, **changes)
    checkpoint, expected = open_checkpoint(directory), arrays(directory, dtype)
    assert list(checkpoint.tensors) == list(llama_tensors(checkpoint.config)) == list(expected)
    assert checkpoint.files == [str(directory / "model.safetensors")]
    assert (checkpoint.directory, checkpoint.ignored, checkpoint.schemes) == (str(directory), [], {})
    for name, array in expected.items():
        read = checkpoint.read(name)
        assert (read.dtype, read.shape) == (array.dtype, array.shape)
        assert read.tobytes() == array.tobytes()
    assert checkpoint.read_rows(EMBED, 3, 5).tobytes() == expected[EMBED][3:5].tobytes()


def test_the_order_is_that_of_the_model_and_not_of_the_file(tmp_path):
    directory = model(tmp_path / "m")
    tensors = arrays(directory)
    save(directory / "model.safetensors", dict(reversed(tensors.items())), {"run": "1"})
    checkpoint = open_checkpoint(directory)
    assert list(checkpoint.tensors) == list(tensors)
    assert checkpoint.metadata == {str(directory / "model.safetensors"): {"run": "1"}}


def test_shards(tmp_path):
    directory = tmp_path / "m"
    weight_map = sharded(directory)
    write_index(directory, weight_map, metadata={"total_size": -1})  # published files give it in different ways
    checkpoint = open_checkpoint(directory)
    assert [os.path.basename(file) for file in checkpoint.files] == sorted(set(weight_map.values()))
    for name, array in arrays(directory).items():
        assert os.path.basename(checkpoint.tensors[name][0]) == weight_map[name]
        assert np.array_equal(checkpoint.read(name), array)


def test_stories260k(data):
    checkpoint = open_checkpoint(data / "models" / "stories260K")
    assert sum(checkpoint.read(name).size for name in checkpoint.tensors) == 260_032
    assert checkpoint.config["tie_word_embeddings"]
    assert HEAD not in checkpoint.tensors
    for name in checkpoint.tensors:
        check_finite(checkpoint.read(name), name, "model.safetensors")


def test_rotary_tables_are_ignored_and_listed(tmp_path):
    directory = model(tmp_path / "m")
    names = ["model.layers.0.self_attn.rotary_emb.inv_freq", "model.rotary_emb.inv_freq"]
    save(directory / "model.safetensors", arrays(directory) | dict.fromkeys(names, np.zeros(2, np.float32)))
    checkpoint = open_checkpoint(directory)
    assert checkpoint.ignored == names
    assert not set(names) & set(checkpoint.tensors)


def test_a_head_beside_tied_embeddings(tmp_path):
    directory = model(tmp_path / "m", tie_word_embeddings=True, vocab_size=2**15 + 3)  # 2 MiB: several pieces
    tensors = arrays(directory)
    embedding = tensors[EMBED]

    def put(head):
        save(directory / "model.safetensors", tensors | {HEAD: head})

    put(embedding)
    checkpoint = open_checkpoint(directory)
    assert checkpoint.ignored == [HEAD]
    assert HEAD not in checkpoint.tensors
    for row in (0, 2**14, 2**15 + 2):
        other = embedding.copy()
        other[row, 15] = np.nextafter(other[row, 15], np.float32(9))
        put(other)
        refused(directory, "model.safetensors", "lm_head.weight differs from model.embed_tokens.weight")
    put(embedding.astype(np.float16))
    refused(directory, "lm_head.weight differs")
    put(embedding[:-1])
    refused(directory, "lm_head.weight differs")
    # -0.0 equals 0.0 as a number, not as bits
    tensors[EMBED] = np.zeros_like(embedding)
    put(-np.zeros_like(embedding))
    refused(directory, "lm_head.weight differs")


def test_a_float_model_that_lacks_or_has_too_much(tmp_path):
    directory = model(tmp_path / "m")
    tensors, file = arrays(directory), directory / "model.safetensors"
    for name in tensors:
        save(file, {key: value for key, value in tensors.items() if key != name})
        refused(directory, f"tensor {name} of shape {list(tensors[name].shape)} is missing")
    for name in ("model.layers.2.mlp.up_proj.weight", "x", Q0 + ".bias", Q0 + ".weight_g_idx", "rotary_emb.inv_freq"):
        save(file, tensors | {name: np.zeros(1, np.float32)})
        refused(directory, f"{file}: tensor {name!r} has no place in this model")
    for dtype in (np.float64, np.int8, np.int32, np.bool_):
        save(file, tensors | {Q0 + ".weight": tensors[Q0 + ".weight"].astype(dtype)})
        refused(directory, f"{file}: tensor {Q0}.weight is ", "F32 or F16 or BF16 is needed")
    for shape in ((16, 15), (256,), (16, 16, 1), (0, 16)):
        save(file, tensors | {Q0 + ".weight": np.zeros(shape, np.float32)})
        refused(directory, f"{file}: tensor {Q0}.weight has shape {list(shape)}; config.json asks for [16, 16]")


def test_a_config_that_does_not_fit_the_weights(tmp_path):
    directory = model(tmp_path / "m")
    for changes, part in (
        ({"vocab_size": 25}, "model.embed_tokens.weight has shape [24, 16]; config.json asks for [25, 16]"),
        ({"num_hidden_layers": 3}, "model.layers.2.self_attn.q_proj.weight of shape [16, 16] is missing"),
        ({"num_hidden_layers": 1}, "'model.layers.1.self_attn.q_proj.weight' has no place"),
        ({"num_hidden_layers": 4096}, "model.layers.2.self_attn.q_proj.weight of shape [16, 16] is missing"),
        ({"num_key_value_heads": 4}, "k_proj.weight has shape [8, 16]; config.json asks for [16, 16]"),
        ({"intermediate_size": 2**24}, "gate_proj.weight has shape [32, 16]"),
        ({"attention_bias": True}, "q_proj.bias of shape [16] is missing"),
        (QWEN2, "q_proj.bias of shape [16] is missing"),
    ):
        write_config(directory, **changes)
        refused(directory, part)


def test_missing_parts(tmp_path):
    refused(tmp_path / "gone", "not a directory")
    (tmp_path / "file").write_text("")
    refused(tmp_path / "file", "not a directory")
    directory = tmp_path / "m"
    directory.mkdir()
    refused(directory, "config.json: the file is missing")
    write_config(directory)
    refused(directory, "model.safetensors: the file is missing")
    (directory / "model.safetensors").write_bytes(b"")
    refused(directory, "model.safetensors", "0 bytes")
    (directory / "model.safetensors").unlink()
    os.mkfifo(directory / "model.safetensors")
    refused(directory, "model.safetensors: it is not a regular file")


@pytest.mark.parametrize(
    "name",
    ["../x.safetensors", "/etc/passwd", "a/b.safetensors", "a\\b.safetensors", "..", ".", "", "C:x.safetensors"]
    + [
        "a\0.safetensors",
        ".hidden.safetensors",
        "x.bin",
        "a b.safetensors",
        "ü.safetensors",
        "n" * 300 + ".safetensors",
    ]
    + ["-x.safetensors", "a.safetensors\n", 1, None, [], {"a": 1}],
)
def test_an_index_that_points_elsewhere(name, tmp_path):
    directory = tmp_path / "m"
    weight_map = sharded(directory)
    save(tmp_path / "x.safetensors", {EMBED: np.zeros((24, 16), np.float32)})
    write_index(directory, weight_map | {EMBED: name})
    refused(directory, "model.safetensors.index.json", f"tensor '{EMBED}' is in", "plain file name")


def test_an_index_and_shards_that_disagree(tmp_path):
    directory = tmp_path / "m"
    weight_map = sharded(directory)
    files = sorted(set(weight_map.values()))
    name = next(iter(weight_map))

    write_index(directory, weight_map | {name: "gone.safetensors"})
    refused(directory, "gone.safetensors: the file is missing")
    write_index(directory, weight_map | {name: files[1]})
    refused(directory, f"{files[0]}: tensor '{name}' is in this file", f"puts it '{files[1]}'")
    write_index(directory, {key: value for key, value in weight_map.items() if key != name})
    refused(directory, f"{files[0]}: tensor '{name}' is in this file", "puts it nowhere")
    write_index(directory, weight_map | {"x": files[1]})
    refused(directory, f"tensor 'x' is not in {files[1]}")
    write_index(directory, {key: value for key, value in weight_map.items() if value != files[2]})
    refused(directory, f"{files[2]} lies beside it")

    write_index(directory, weight_map)
    part = {n: np.zeros(llama_tensors(read_config(directory / "config.json"))[n], np.float32) for n in weight_map}
    save(directory / files[1], {n: part[n] for n in weight_map if weight_map[n] == files[1] or n == name})
    refused(directory, f"{files[1]}: tensor '{name}' is in this file", f"puts it '{files[0]}'")  # in two shards
    save(directory / files[1], {n: part[n] for n in weight_map if weight_map[n] == files[1]})
    open_checkpoint(directory)
    save(directory / "model.safetensors", part)
    refused(directory, "model.safetensors and model.safetensors.index.json are both there")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "not valid JSON"),
        ("[]", "a JSON list"),
        ("{}", "a filled weight_map"),
        ('{"weight_map": {}}', "a filled weight_map"),
        ('{"weight_map": []}', "a filled weight_map"),
        ('{"weight_map": {"a": "x.safetensors"}, "more": 1}', "'more'"),
        ('{"weight_map": {"a": "x.safetensors", "a": "y.safetensors"}}', "the key 'a' appears twice"),
        ('{"weight_map": {"a": "x.safetensors", "b": "X.safetensors"}}', "differing by case alone"),
        ("[" * 50_000, "nested too deeply"),
        ('{"weight_map": {"a": "' + "x" * 2**23 + '"}}', "at most 8388608 are read"),
        (json.dumps({"weight_map": {str(n): f"{n}.safetensors" for n in range(4097)}}), "4097 files; at most 4096"),
    ],
)
def test_a_malformed_index(text, part, tmp_path):
    write_config(tmp_path / "m")
    write_index(tmp_path / "m", text)
    refused(tmp_path / "m", "model.safetensors.index.json", part)


def test_links_in_the_directory(tmp_path):
    directory = model(tmp_path / "m")
    outside = tmp_path / "outside.safetensors"
    (directory / "model.safetensors").rename(outside)
    (directory / "model.safetensors").symlink_to(outside)
    refused(directory, "model.safetensors: the symbolic link leaves the directory")
    (directory / "model.safetensors").unlink()
    outside.rename(directory / "model.safetensors")
    (directory / "config.json").rename(tmp_path / "config.json")
    (directory / "config.json").symlink_to("../config.json")
    refused(directory, "config.json: the symbolic link leaves the directory")


def test_the_cache_of_hugging_face(tmp_path):
    revision, blobs = tmp_path / "models--x" / "snapshots" / "abc", tmp_path / "models--x" / "blobs"
    revision.mkdir(parents=True), blobs.mkdir()
    model(revision)
    for number, name in enumerate(os.listdir(revision)):
        (revision / name).rename(blobs / f"{number}")
        (revision / name).symlink_to(f"../../blobs/{number}")
    checkpoint = open_checkpoint(revision)
    assert np.array_equal(checkpoint.read(EMBED), arrays(revision)[EMBED])


def test_a_file_that_changes_between_open_and_read(tmp_path):
    directory = model(tmp_path / "m")
    checkpoint, file = open_checkpoint(directory), directory / "model.safetensors"
    content = file.read_bytes()
    for change in (
        lambda: file.write_bytes(content + b"x"),
        lambda: os.utime(file, ns=(0, 0)),
        lambda: (file.unlink(), file.write_bytes(content)),
    ):
        file.write_bytes(content)
        checkpoint = open_checkpoint(directory)
        change()
        with pytest.raises(CheckpointError, match="model.safetensors: the file has changed"):
            checkpoint.read(EMBED)
    file.unlink()
    with pytest.raises(CheckpointError, match="the file is missing"):
        checkpoint.read_rows(EMBED, 0, 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite(dtype, value):
    array = np.zeros((3, 4), dtype)
    assert check_finite(array, "x", "f") is array
    array[1, 2] = value
    with pytest.raises(CheckpointError, match=rf"f: tensor x\[1, 2\] is {value}"):
        check_finite(array, "x", "f")


SCHEMES = [
    Scheme(bits, symmetric, strategy, 8 if strategy == "group" else None)
    for bits in (2, 3, 4, 8)
    for symmetric in (True, False)
    for strategy in ("tensor", "channel", "group")
]


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_a_quantized_model(scheme, tmp_path):
    quantization = quantization_config([(scheme, ["Linear"])], ["lm_head"])
    directory = model(tmp_path / "m", quantization_config=quantization, attention_bias=True)
    checkpoint = open_checkpoint(directory)
    assert checkpoint.schemes == dict.fromkeys(linear_names(checkpoint.config), scheme)
    assert Q0 + ".weight" not in checkpoint.tensors
    assert checkpoint.read(Q0 + ".weight_shape").tolist() == [16, 16]
    assert checkpoint.read(Q0 + ".weight_packed").dtype == np.int32
    assert (Q0 + ".weight_zero_point" in checkpoint.tensors) == (not scheme.symmetric)
    assert {Q0 + ".bias", HEAD, EMBED} <= set(checkpoint.tensors)
    assert list(checkpoint.tensors)[:3] == [EMBED, Q0 + ".weight_packed", Q0 + ".weight_scale"]
    assert list(checkpoint.tensors)[-1] == HEAD


def test_a_quantized_model_of_two_schemes_and_a_quantized_head(tmp_path):
    group, channel = Scheme(4, False, "group", 16), Scheme(8, True, "channel", None)
    quantization = quantization_config([(group, ["Linear"]), (channel, ["re:.*down_proj"])], [Q0])
    directory = model(tmp_path / "m", quantization_config=quantization)
    checkpoint = open_checkpoint(directory)
    assert checkpoint.schemes["lm_head"] == group
    assert checkpoint.schemes["model.layers.1.mlp.down_proj"] == channel
    assert Q0 not in checkpoint.schemes
    assert {"lm_head.weight_packed", Q0 + ".weight"} <= set(checkpoint.tensors)
    write_config(directory, quantization_config=quantization, tie_word_embeddings=True)
    refused(directory, "lm_head.weight_packed", "no place in this model")


def test_a_quantized_model_that_contradicts_itself(tmp_path):
    scheme = Scheme(4, False, "group", 8)
    quantization = quantization_config([(scheme, ["Linear"])], ["lm_head"])
    directory = model(tmp_path / "m", quantization_config=quantization)
    tensors, file = arrays(directory), directory / "model.safetensors"

    def put(**changes):
        changed = tensors | {f"{Q0}.weight_{key}": value for key, value in changes.items()}
        save(file, {name: array for name, array in changed.items() if array is not None})

    put(shape=np.array([16, 17]))
    refused(
        directory, f"{file}: tensor {Q0}.weight_shape holds [16, 17]; config.json asks for [16, 16]", error=FormatError
    )
    put(shape=np.array([16, 16], np.int32))
    refused(directory, f"{Q0}.weight_shape is I32; I64 is needed")
    put(packed=np.zeros((16, 3), np.int32))
    refused(directory, f"{Q0}.weight_packed has shape [16, 3]; config.json asks for [16, 2]")
    put(packed=np.zeros((16, 2), np.uint32))
    refused(directory, f"{Q0}.weight_packed is U32; I32 is needed")
    put(scale=np.zeros((16, 1), np.float32))
    refused(directory, f"{Q0}.weight_scale has shape [16, 1]; config.json asks for [16, 2]")
    put(scale=np.zeros((16, 2), np.float64))
    refused(directory, f"{Q0}.weight_scale is F64")
    put(zero_point=None)
    refused(directory, f"{Q0}.weight_zero_point of shape [2, 2] is missing")
    put(zero_point=np.zeros((16, 2), np.int8))
    refused(directory, f"{Q0}.weight_zero_point has shape [16, 2]; config.json asks for [2, 2]")
    put(g_idx=np.zeros(16, np.int32))
    refused(directory, f"'{Q0}.weight_g_idx' has no place")
    for dtype in (np.float16, ml_dtypes.bfloat16):
        put(scale=np.ones((16, 2), dtype))
        open_checkpoint(directory)

    put()
    write_config(directory)
    refused(directory, f"tensor {Q0}.weight of shape [16, 16] is missing")
    for changes, part in (
        (quantization | {"quant_method": "bitsandbytes"}, "config.json: quant_method is 'bitsandbytes'"),
        (quantization_config([(Scheme(4, True, "group", 12), ["Linear"])], []), "config.json: group_size=12 does not"),
    ):
        write_config(directory, quantization_config=changes)
        refused(directory, part, error=FormatError)
    write_config(
        directory, quantization_config=quantization_config([(scheme._replace(symmetric=True), ["Linear"])], [HEAD[:-7]])
    )
    refused(directory, "weight_zero_point' has no place in this model")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    directory = tmp_path_factory.mktemp("whole") / "m"
    sharded(
        directory, shards=2, quantization_config=quantization_config([(Scheme(4, False, "group", 8), ["Linear"])], [])
    )
    return directory


@settings(max_examples=250)
@given(
    file=st.sampled_from(["config.json", "model.safetensors.index.json", "model-00001-of-00002.safetensors"]),
    edits=st.lists(
        st.tuples(st.integers(0, 10**6), st.sampled_from(b'{}[]",:0129eE-.\\ xntf\0\xff')), min_size=1, max_size=3
    ),
    cut=st.sampled_from([None, None, None, -1, 100]),
)
def test_a_directory_with_flipped_bytes(file, edits, cut, whole):
    content = (whole / file).read_bytes()
    reach = 8 + int.from_bytes(content[:8], "little") if file.endswith(".safetensors") else len(content)
    changed = bytearray(content)
    for position, value in edits:
        changed[position % reach] = value
    (whole / file).write_bytes(changed[:cut])
    try:
        open_checkpoint(whole)
    except FileError as refusal:
        message = str(refusal)
    else:
        message = str(whole)
    finally:
        (whole / file).write_bytes(content)
    assert str(whole) in message


def test_every_tensor_of_config_is_in_the_header_of_stories260k(data):
    directory = data / "models" / "stories260K"
    config = read_config(directory / "config.json")
    header = read_header(directory / "model.safetensors")
    assert {name: info.shape for name, info in header.tensors.items()} == llama_tensors(config)
