"""GGUF files: what is read, and every malformed file refused with one typed error."""

import struct

import numpy as np
import pytest

import refq
from refq.errors import FileError
from refq.files.gguf import open_gguf
from refq.files.gguf_model import FACTORS
from refq.files.gguf_types import Value
from refq.files.tokenizer import open_tokenizer
from refq.jobs.gguf import load_gguf, open_model, read_tensor, rope_factors
from tests.files.gguf_files import CONFIG, parts, write

LINEAR = "blk.0.ffn_up.weight"


def read(path):
    """Everything that a reader reads."""
    config, params = load_gguf(path, refq)
    return config, params, open_tokenizer(path, config["vocab_size"])


def changed_key(key, value):
    def change(metadata, entries, data):
        metadata[key] = value

    return change


def without_key(key):
    return lambda metadata, entries, data: metadata.pop(key)


def changed_tensor(name, kind=None, shape=None, to=None, data=None):
    def change(metadata, entries, blocks):
        at = [entry[0] for entry in entries].index(name)
        entries[at] = (to or name, kind or entries[at][1], shape or entries[at][2])
        blocks[at] = blocks[at] if data is None else data

    return change


def without_tensor(name):
    def change(metadata, entries, data):
        at = [entry[0] for entry in entries].index(name)
        del entries[at], data[at]

    return change


def one_more(metadata, entries, data):
    entries.append(("blk.7.attn_q.weight", "F32", (1, 32)))
    data.append(bytes(128))


def key(name):
    return f"llama.{name}"


def u32(n):
    return Value("u32", n)


def token_list(*more):
    return Value("[str]", [f"t{i}" for i in range(267 - len(more))] + list(more))


GGML = "tokenizer.ggml."
PARTS = {
    "no architecture": (without_key("general.architecture"), "general.architecture is missing"),
    "another architecture": (changed_key("general.architecture", Value("str", "bert")), "'llama' is supported"),
    "an architecture that is a number": (changed_key("general.architecture", u32(1)), "a string is needed"),
    "no layers": (changed_key(key("block_count"), u32(0)), "block_count is 0"),
    "2**31 layers": (changed_key(key("block_count"), u32(2**31 - 1)), "block_count is 2147483647"),
    "layers of type f32": (changed_key(key("block_count"), Value("f32", 1.0)), "an integer of 1"),
    "layers as a truth value": (changed_key(key("block_count"), Value("bool", True)), "an integer of 1"),
    "no layer count": (without_key(key("block_count")), "block_count is missing"),
    "no heads": (changed_key(key("attention.head_count"), u32(0)), "head_count is 0"),
    "more key heads than heads": (changed_key(key("attention.head_count_kv"), u32(8)), "an integer of 1..4"),
    "key heads that do not divide": (changed_key(key("attention.head_count_kv"), u32(3)), "does not divide"),
    "heads an odd number wide": (changed_key(key("rope.dimension_count"), u32(7)), "one even number"),
    "epsilon NaN": (
        changed_key(key("attention.layer_norm_rms_epsilon"), Value("f32", float("nan"))),
        "between 0 and 1",
    ),
    "no epsilon": (without_key(key("attention.layer_norm_rms_epsilon")), "is missing"),
    "theta infinite": (changed_key(key("rope.freq_base"), Value("f32", float("inf"))), "a number between"),
    "no positions": (changed_key(key("context_length"), u32(0)), "context_length is 0"),
    "experts": (changed_key(key("expert_count"), u32(8)), "expert_count is 8"),
    "a sliding window": (changed_key(key("attention.sliding_window"), u32(32)), "not supported"),
    "linear rope": (changed_key(key("rope.scaling.type"), Value("str", "linear")), "only 'none'"),
    "another width": (changed_key(key("embedding_length"), u32(64)), "has shape"),
    "another inner width": (changed_key(key("feed_forward_length"), u32(96)), "has shape"),
    "one layer more": (changed_key(key("block_count"), u32(2)), "is missing"),
    "no embedding": (without_tensor("token_embd.weight"), "token_embd.weight is missing"),
    "no norm": (without_tensor("output_norm.weight"), "output_norm.weight of shape"),
    "a tensor too many": (one_more, "has no place"),
    "a tensor of another name": (changed_tensor(LINEAR, to="blk.0.ffn_down_.weight"), "is missing"),
    "a tensor with another axis": (changed_tensor(LINEAR, shape=(64, 32, 1), kind="F32"), "has shape|needs whole"),
    "a weight NaN": (changed_tensor("output_norm.weight", data=struct.pack("<32f", *[1] * 31, float("nan"))), "is nan"),
    "the start token beyond": (changed_key(GGML + "bos_token_id", u32(267)), "bos_token_id is 267"),
    "the end token below 0": (changed_key(GGML + "eos_token_id", Value("i32", -1)), "eos_token_id is -1"),
    "no tokenizer": (without_key(GGML + "model"), "tokenizer.ggml.model is missing"),
    "another tokenizer": (changed_key(GGML + "model", Value("str", "bert")), "'llama' and 'gpt2' are read"),
    "no tokens": (without_key(GGML + "tokens"), "tokenizer.ggml.tokens is missing"),
    "tokens that are numbers": (changed_key(GGML + "tokens", Value("[u32]", [1] * 267)), "is of type"),
    "equal tokens": (changed_key(GGML + "tokens", token_list("t0")), "different ones"),
    "more tokens than rows": (changed_key(GGML + "tokens", Value("[str]", [f"t{i}" for i in range(268)])), "268"),
    "no scores": (without_key(GGML + "scores"), "tokenizer.ggml.scores is missing"),
    "too few scores": (changed_key(GGML + "scores", Value("[f32]", [0.0])), "scores has 1 numbers"),
    "too few types": (changed_key(GGML + "token_type", Value("[i32]", [1])), "token_type has 1 types"),
    "types of no kind": (changed_key(GGML + "token_type", Value("[i32]", [9] * 267)), "of 1..6"),
    "words of an unknown kind": (
        lambda m, e, d: m.update({GGML + "model": Value("str", "gpt2"), GGML + "pre": Value("str", "new")}),
        "pre is 'new'",
    ),
    "merges of nothing": (
        lambda m, e, d: m.update(
            {
                GGML + "model": Value("str", "gpt2"),
                GGML + "pre": Value("str", "gpt-2"),
                GGML + "merges": Value("[str]", ["x"]),
            }
        ),
        "the merge 'x'",
    ),
}


@pytest.mark.parametrize("fault", PARTS)
def test_a_model_that_contradicts_itself(tmp_path, fault):
    change, sentence = PARTS[fault]
    pieces = parts()
    change(*pieces)
    with pytest.raises(FileError, match=sentence) as caught:
        read(write(tmp_path / "x.gguf", *pieces))
    assert "x.gguf" in str(caught.value)


def replaced(old, new):
    def change(raw):
        assert raw.count(old) >= 1
        return raw.replace(old, new, 1)

    return change


def at(offset, form, value):
    def change(raw):
        new = struct.pack(f"<{form}", value)
        return raw[:offset] + new + raw[offset + len(new) :]

    return change


def after(text, offset, form, value):
    """A number in the place `offset` bytes after a key or name."""
    return lambda raw: at(raw.index(text) + len(text) + offset, form, value)(raw)


EPS, NAME = b"llama.attention.layer_norm_rms_epsilon", LINEAR.encode()
TOKENS, BOS = b"tokenizer.ggml.tokens", b"tokenizer.ggml.add_bos_token"
RAW = {
    "nothing": lambda raw: b"",
    "three bytes": lambda raw: raw[:3],
    "the magic alone": lambda raw: raw[:4],
    "another magic": at(0, "4s", b"GGML"),
    "version 1": at(4, "I", 1),
    "version 4": at(4, "I", 4),
    "big-endian": at(4, "I", 3 << 24),
    "2**63 tensors": at(8, "Q", 2**63),
    "one tensor more": lambda raw: at(8, "Q", struct.unpack_from("<Q", raw, 8)[0] + 1)(raw),
    "one tensor less": lambda raw: at(8, "Q", struct.unpack_from("<Q", raw, 8)[0] - 1)(raw),
    "2**63 keys": at(16, "Q", 2**63),
    "one key more": lambda raw: at(16, "Q", struct.unpack_from("<Q", raw, 16)[0] + 1)(raw),
    "a key of 2**63 bytes": at(24, "Q", 2**63),
    "a key of no bytes": at(24, "Q", 0),
    "a key that is not UTF-8": at(32, "B", 255),
    "a key with NUL": at(32, "B", 0),
    "a value of type 13": after(EPS, 0, "I", 13),
    "a value of type 2**31": after(EPS, 0, "I", 2**31),
    "an array of arrays": after(TOKENS, 4, "I", 9),
    "an array of 2**62": after(TOKENS, 8, "Q", 2**62),
    "an array of 2**32 strings": after(TOKENS, 8, "Q", 2**32),
    "a string of 2**62 bytes": after(TOKENS, 16, "Q", 2**62),
    "a string beyond the file": after(TOKENS, 16, "Q", 2**20),
    "the truth value 2": after(BOS, 4, "B", 2),
    "no axes": after(NAME, 0, "I", 0),
    "five axes": after(NAME, 0, "I", 5),
    "2**31 axes": after(NAME, 0, "I", 2**31),
    "a size of 0": after(NAME, 4, "Q", 0),
    "sizes whose product overflows": after(NAME, 4, "Q", 2**63),
    "type IQ2_XS": after(NAME, 20, "I", 17),
    "type 99": after(NAME, 20, "I", 99),
    "an offset within the alignment": after(NAME, 24, "Q", 8),
    "an offset of 2**63": after(NAME, 24, "Q", 2**63),
    "an offset of the tensor before": after(NAME, 24, "Q", 0),
    "a name of 64 bytes": lambda raw: at(raw.index(NAME) - 8, "Q", 64)(raw),
    "a name of 2**63 bytes": lambda raw: at(raw.index(NAME) - 8, "Q", 2**63)(raw),
    "a name with a line end": replaced(NAME, b"blk.0.ffn_up\nweight"),
    "a name twice": replaced(b"blk.0.attn_v.weight", b"blk.0.attn_k.weight"),
    "a file a byte too short": lambda raw: raw[:-1],
    "a file cut in half": lambda raw: raw[: len(raw) // 2],
    "32 bytes more": lambda raw: raw + bytes(32),
}


@pytest.mark.parametrize("fault", RAW)
def test_a_file_that_breaks_a_rule(tmp_path, fault):
    path = write(tmp_path / "x.gguf", *parts())
    path.write_bytes(RAW[fault](path.read_bytes()))
    with pytest.raises(FileError, match="x.gguf"):
        read(path)


@pytest.mark.parametrize(
    ("value", "fault"),
    [(u32(n), str(n)) for n in (0, 1, 24, 2**20, 2**31)] + [(Value("u64", 32), "u64"), (Value("str", "32"), "str")],
)
def test_alignments(tmp_path, value, fault):
    pieces = parts()
    pieces[0]["general.alignment"] = value
    with pytest.raises(FileError, match=f"general.alignment is .*{fault}"):
        read(write(tmp_path / "x.gguf", *pieces))


def test_a_key_twice(tmp_path):
    pieces = parts()
    pieces[0]["general.file_typf"] = u32(1)
    path = write(tmp_path / "x.gguf", *pieces)
    path.write_bytes(path.read_bytes().replace(b"general.file_typf", b"general.file_type"))
    with pytest.raises(FileError, match="'general.file_type' appears twice"):
        read(path)


def test_another_alignment(tmp_path):
    pieces = parts()
    pieces[0]["general.alignment"] = u32(128)
    first, second = read(write(tmp_path / "x.gguf", *pieces, 128))[1], read(write(tmp_path / "y.gguf", *parts()))[1]
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


def test_every_end_of_the_header(tmp_path):
    path = write(tmp_path / "x.gguf", *parts())
    raw = path.read_bytes()
    header = raw.index(NAME) + len(NAME)
    for end in [*range(0, 600, 7), *range(600, header, 97)]:
        path.write_bytes(raw[:end])
        with pytest.raises(FileError):
            open_gguf(path)


def test_any_bytes(tmp_path):
    path, random = write(tmp_path / "x.gguf", *parts("Q4_0")), np.random.default_rng(0)
    raw = np.frombuffer(path.read_bytes(), np.uint8)
    for _ in range(100):
        other = raw.copy()
        places = random.integers(0, 2000 if random.random() < 0.7 else len(raw), random.integers(1, 4))
        other[places] = random.choice(np.uint8([0, 1, 127, 128, 255]), len(places))
        path.write_bytes(other.tobytes())
        try:
            file, config, _ = open_model(path)
            read_tensor(file, "model.layers.0.mlp.up_proj.weight", config, refq)
            open_tokenizer(path, config["vocab_size"])
        except FileError:
            pass


def test_not_a_file(tmp_path):
    with pytest.raises(FileError, match="missing"):
        open_gguf(tmp_path / "x.gguf")
    (tmp_path / "nowhere.gguf").symlink_to("gone")
    with pytest.raises(FileError, match="missing|leads nowhere"):
        open_gguf(tmp_path / "nowhere.gguf")


def test_a_link_to_a_file_elsewhere(tmp_path):
    (tmp_path / "inside").mkdir()
    path, link = write(tmp_path / "x.gguf", *parts()), tmp_path / "inside" / "link.gguf"
    link.symlink_to("../x.gguf")
    assert open_gguf(link).header == open_gguf(path).header


def test_a_file_that_has_changed(tmp_path):
    path = write(tmp_path / "x.gguf", *parts())
    file = open_gguf(path)
    path.write_bytes(path.read_bytes())
    with pytest.raises(FileError, match="has changed"):
        file.rows(LINEAR, 0, 1)


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "IQ4_NL", "MXFP4"])
def test_what_is_read(tmp_path, kind):
    """The rows of q and k come back in the order of Hugging Face; codes stay codes where the type is an affine grid."""
    path = write(tmp_path / "x.gguf", *parts(kind))
    config, params, tokenizer = read(path)
    file, *_ = open_model(path)
    assert {name: config[name] for name in CONFIG} == CONFIG
    assert tokenizer.encode("ab abc") == [1, 264, 264, 265]
    for name, weight in params.items():
        x = read_tensor(file, name, config, refq)
        packed = isinstance(weight, refq.PackedWeight)
        assert packed == (name.endswith("_proj.weight") and kind in ("Q4_0", "Q5_0", "Q8_0"))
        np.testing.assert_array_equal(_numbers(weight, x.shape) if packed else weight, x)
    there = file.rows("blk.0.attn_q.weight", 0, 32)
    here = [there[h * 8 + 2 * j + t] for h in range(4) for t in range(2) for j in range(4)]
    decode = getattr(refq, f"decode_{kind.lower()}", None)
    if decode:
        q = read_tensor(file, "model.layers.0.self_attn.q_proj.weight", config, refq)
        np.testing.assert_array_equal(q, decode(np.array(here)))


def test_minima_that_are_whole_steps_stay_codes(tmp_path):
    metadata, entries, data = parts("Q4_1")
    at_up = [entry[0] for entry in entries].index(LINEAR)
    blocks = np.frombuffer(data[at_up], np.uint8).reshape(-1, 20).copy()
    blocks[:, :2], blocks[:, 2:4] = np.float16([0.25]).view(np.uint8), np.float16([-1.75]).view(np.uint8)
    blocks[0, :4] = 0  # a block of zeros, whatever its codes
    data[at_up] = blocks.tobytes()
    path = write(tmp_path / "x.gguf", metadata, entries, data)
    weight = read(path)[1]["model.layers.0.mlp.up_proj.weight"]
    assert isinstance(weight, refq.PackedWeight)
    np.testing.assert_array_equal(_numbers(weight, (64, 32)), refq.decode_q4_1(blocks.reshape(64, -1)))


@pytest.mark.parametrize("scaled", [8.0, 32.0])
def test_the_frequencies_of_llama_3(tmp_path, scaled):
    scaling = {"rope_type": "llama3", "factor": scaled, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    config = CONFIG | {"head_dim": 64, "rope_scaling": scaling | {"original_max_position_embeddings": 8192}}
    config["rope_theta"] = 500000.0
    metadata, entries, data = parts(config=config)
    factors = rope_factors(config)
    assert factors[0] == 1
    assert factors[-1] == scaled
    more = (metadata, [*entries, (FACTORS, "F32", factors.shape)], [*data, factors.tobytes()])
    path = write(tmp_path / "x.gguf", *more)
    assert open_model(path)[1]["rope_scaling"] == config["rope_scaling"]
    path = write(tmp_path / "y.gguf", *more[:2], [*data, (factors + np.float32(0.01)).tobytes()])
    with pytest.raises(FileError, match="not those of Llama 3"):
        open_model(path)


def _numbers(weight, shape):
    q = refq.to_groups(refq.unpack_codes(weight.packed, weight.bits, shape[1]), 32)
    return refq.dequantize(q, weight.scale[..., None], weight.zero_point[..., None]).reshape(shape)
