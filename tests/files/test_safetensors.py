"""refq.files.safetensors: the strict header, the reader, the header of a streamed file."""

import json
import os
import time
import tracemalloc

import ml_dtypes
import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from refq.errors import CheckpointError, DtypeError, RefqError, ShapeError
from refq.files.header import DTYPES
from refq.files.safetensors import as_float32, header_bytes, plan_offsets, read_header, read_rows, read_tensor
from tests.files.models import library_accepts, raw_file, save

GOOD = {"a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}


def header(**changes):
    """GOOD with the fields of its tensor changed; a value of ... takes the field away."""
    fields = {key: value for key, value in (GOOD["a"] | changes).items() if value is not ...}
    return {"a": fields}


def text(value):
    return json.dumps(value)


def pair(first, shape, second, offsets):
    """A header of two tensors of bytes, the first at the beginning."""
    entries = [(first, shape, [0, *shape]), (second, [offsets[1] - offsets[0]], offsets)]
    parts = [f'"{name}":' + text({"dtype": "I8", "shape": n, "data_offsets": at}) for name, n, at in entries]
    return "{" + ",".join(parts) + "}"


# id: (header, bytes of data, part of the message, does the library accept it?)
MALFORMED = {
    "bom": (b"\xef\xbb\xbf" + text(GOOD).encode(), 24, "must start with '{'", False),
    "leading-space": (" " + text(GOOD), 24, "must start with '{'", True),
    "not-an-object": ("[]", 0, "must start with '{'", False),
    "empty": ("", 0, "must start with '{'", False),
    "bad-utf8": (b'{"\xff":1}', 0, "byte 2 of the header is not UTF-8", False),
    "nul-padding": (text(GOOD) + "\0\0", 24, "after its closing brace", False),
    "newline-padding": (text(GOOD) + "\n", 24, "after its closing brace", True),
    "second-object": (text(GOOD) + "{}", 24, "after its closing brace", False),
    "not-closed": (text(GOOD)[:-1], 24, "malformed at character", False),
    "open-brace-only": ("{", 0, "malformed at character 1", False),
    "trailing-comma": (text(GOOD)[:-1] + ",}", 24, "malformed at character", False),
    "single-quotes": (text(GOOD).replace('"', "'"), 24, "malformed at character 1", False),
    "value-is-a-list": ('{"a":[1]}', 0, "malformed at character 1", False),
    "value-is-null": ('{"a":null}', 0, "malformed at character 1", False),
    "nested-object": ('{"a":{"dtype":{}}}', 0, "malformed at character 1", False),
    "deep-arrays": ('{"a":' + "[" * 100_000 + "]" * 100_000 + "}", 0, "malformed at character 1", False),
    "deep-objects": ('{"a":' * 100_000 + "{}" + "}" * 100_000, 0, "malformed at character 1", False),
    "deep-shape": (text(header(shape="?")).replace('"?"', "[" * 450 + "]" * 450), 24, "has shape [[", False),
    "long-entry": (header(shape=[1] * 400), 24, "malformed at character 1", False),
    "duplicate-key-same": (pair("a", [6], "a", [0, 6]), 6, "'a' overlaps the tensor before", True),
    "duplicate-key-empty": (pair("a", [0], "a", [0, 0]), 0, "'a' appears twice", True),
    "duplicate-key-other": (pair("a", [6], "a", [6, 12]), 12, "'a' appears twice", False),
    "duplicate-field": (text(GOOD).replace('"shape"', '"dtype": "F32", "shape"'), 24, "'dtype' appears twice", False),
    "duplicate-metadata": ('{"__metadata__":{},"__metadata__":{}}', 0, "__metadata__ appears twice", False),
    "duplicate-metadata-key": ('{"__metadata__":{"k":"1","k":"2"}}', 0, "key 'k' appears twice", True),
    "unknown-field": (header(extra=1), 24, "'extra'", True),
    "missing-dtype": (header(dtype=...), 24, "dtype, shape and data_offsets are needed", False),
    "missing-shape": (header(shape=...), 24, "dtype, shape and data_offsets are needed", False),
    "missing-offsets": (header(data_offsets=...), 24, "dtype, shape and data_offsets are needed", False),
    "dtype-unknown": (header(dtype="F31"), 24, "dtype 'F31'", False),
    "dtype-fp8": (header(dtype="F8_E4M3", shape=[24]), 24, "dtype 'F8_E4M3'", True),
    "dtype-fp4": (header(dtype="F4", shape=[48]), 24, "dtype 'F4'", True),
    "dtype-number": (header(dtype=32), 24, "dtype 32", False),
    "dtype-list": (header(dtype=["F32"]), 24, "dtype ['F32']", False),
    "dtype-lower-case": (header(dtype="f32"), 24, "dtype 'f32'", False),
    "shape-float": (header(shape=[2.0, 3]), 24, "shape [2.0, 3]", False),
    "shape-bool": (header(shape=[True, 6]), 24, "shape [True, 6]", False),
    "shape-string": (header(shape="23"), 24, "shape '23'", False),
    "shape-negative": (header(shape=[-2, -3]), 24, "shape [-2, -3]", False),
    "shape-overflow": (header(shape=[2**32, 2**32]), 24, "give another number", False),
    "shape-huge": (header(shape=[2**63]), 24, "below 2**63", False),
    "shape-digits": (text(GOOD).replace("[2, 3]", f"[{'9' * 800}]"), 24, "shape [9", False),
    "shape-nan": (text(GOOD).replace("[2, 3]", "[NaN]"), 24, "NaN is not finite", False),
    "shape-nested": (header(shape=[[2], 3]), 24, "shape [[2], 3]", False),
    "dims-33": (header(shape=[1] * 33), 24, "at most 8 whole numbers", False),
    "dims-9": (header(shape=[1] * 8 + [6]), 24, "at most 8 whole numbers", True),
    "offsets-short": (header(data_offsets=[0, 23]), 24, "has 24 bytes", False),
    "offsets-long": (header(data_offsets=[0, 25]), 25, "has 24 bytes", False),
    "offsets-one": (header(data_offsets=[24]), 24, "data_offsets [24]", False),
    "offsets-three": (header(data_offsets=[0, 12, 24]), 24, "at most 2 whole numbers", False),
    "offsets-float": (header(data_offsets=[0.0, 24.0]), 24, "data_offsets [0.0, 24.0]", False),
    "offsets-string": (header(data_offsets=["0", "24"]), 24, "data_offsets ['0', '24']", False),
    "offsets-negative": (header(data_offsets=[-24, 0]), 24, "data_offsets [-24, 0]", False),
    "offsets-reversed": (header(data_offsets=[24, 0]), 24, "give another number", False),
    "offsets-beyond-2-to-63": (header(data_offsets=[2**64 - 24, 2**64]), 24, "below 2**63", False),
    "hole-at-start": (header(data_offsets=[4, 28]), 28, "'a' leaves a hole", False),
    "hole-between": (pair("a", [1], "b", [2, 3]), 3, "'b' leaves a hole", False),
    "overlap": (pair("a", [2], "b", [1, 3]), 3, "'b' overlaps", False),
    "one-byte-short": (GOOD, 23, "its header describes", False),
    "one-byte-more": (GOOD, 25, "its header describes", False),
    "data-of-nothing": ("{}", 1, "its header describes 10", False),
    "name-empty": ({"": GOOD["a"]}, 24, "tensor name ''", True),
    "name-nul": ({"a\0": GOOD["a"]}, 24, "printable characters", True),
    "name-newline": ({"a\n": GOOD["a"]}, 24, "printable characters", True),
    "name-surrogate": (text(GOOD).replace('"a"', '"\\ud800"'), 24, "printable characters", False),
    "name-1mb": ({"a" * 2**20: GOOD["a"]}, 24, "1..512 printable characters", True),
    "name-escape-sequence": ({"\x1b[2J": GOOD["a"]}, 24, "printable characters", True),
    "metadata-number": ({"__metadata__": {"k": 1}}, 0, "'k' is 1", False),
    "metadata-list": ({"__metadata__": {"k": ["v"]}}, 0, "'k' is ['v']", False),
    "metadata-object": ({"__metadata__": {"k": {}}}, 0, "malformed at character 1", False),
    "metadata-surrogate": ('{"__metadata__":{"k":"\\ud800"}}', 0, "half a UTF-16 pair", False),
    "metadata-1001-pairs": ({"__metadata__": {str(n): "" for n in range(1001)}}, 0, "malformed at character 1", True),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed(case, tmp_path):
    content, data, message, library = MALFORMED[case]
    path = raw_file(tmp_path / "weights.safetensors", content, bytes(data))
    with pytest.raises(CheckpointError) as refusal:
        read_header(path)
    assert str(path) in str(refusal.value)
    assert message in str(refusal.value)
    assert len(str(refusal.value)) < 500 + len(str(path))
    assert "\n" not in str(refusal.value)
    assert library_accepts(path) == library  # where it does, we are stricter on purpose


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "0 bytes"),
        (b"1234567", "7 bytes"),
        ((0).to_bytes(8, "little"), "must start with '{'"),
        ((1).to_bytes(8, "little") + b"{", "malformed at character 1"),
        ((2**31).to_bytes(8, "little") + b"{}", "at most 100000000"),
        ((2**63).to_bytes(8, "little") + b"{}", "at most 100000000"),
        ((2**64 - 1).to_bytes(8, "little") + b"{}", "at most 100000000"),
        ((100_000_001).to_bytes(8, "little") + b"{}", "at most 100000000"),
        ((100_000_000).to_bytes(8, "little") + b"{}", "2 follow its length"),
        ((3).to_bytes(8, "little") + b"{}", "2 follow its length"),
    ],
)
def test_bad_length(content, message, tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as refusal:
        read_header(path)
    assert str(path) in str(refusal.value)
    assert message in str(refusal.value)
    assert not library_accepts(path)


def test_not_a_regular_file(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "nowhere").symlink_to("gone")
    for name, message in {
        "fifo": "not a regular file",
        ".": "not a regular file",
        "gone": "the file is missing",
        "nowhere": "the file is missing",
        "loop": "leads nowhere",
        "n" * 300: "too long",
        "gone/file": "the file is missing",
        "a\0b": "NUL",
    }.items():
        with pytest.raises(CheckpointError, match=message):
            read_header(f"{tmp_path}/{name}")
    with pytest.raises(CheckpointError, match="not a regular file"):
        read_header("/dev/null")


def test_symbolic_links(tmp_path):
    inside, outside = tmp_path / "model", tmp_path / "outside"
    inside.mkdir(), outside.mkdir()
    raw_file(inside / "real", "{}"), raw_file(outside / "real", "{}")
    (inside / "near").symlink_to("real")
    (inside / "far").symlink_to("../outside/real")
    (inside / "absolute").symlink_to(outside / "real")
    (tmp_path / "door").symlink_to("model")
    assert read_header(inside / "near").size == 10
    assert read_header(tmp_path / "door" / "near").size == 10  # the directory itself may be reached by a link
    for name in ("far", "absolute"):
        with pytest.raises(CheckpointError, match=f"{name}: the symbolic link leaves the directory"):
            read_header(inside / name)


@pytest.mark.parametrize(("target", "fine"), [("../../blobs/x", True), ("../../other/x", False), ("../blobs/x", False)])
def test_the_layout_of_the_hugging_face_cache(target, fine, tmp_path):
    revision = tmp_path / "models--a--b" / "snapshots" / "0123"
    revision.mkdir(parents=True)
    link = revision / "model.safetensors"
    link.symlink_to(target)
    blob = (revision / target).resolve()
    blob.parent.mkdir(exist_ok=True)
    raw_file(blob, "{}")
    if fine:
        assert read_header(link).size == 10
    else:
        with pytest.raises(CheckpointError, match="leaves the directory"):
            read_header(link)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (5,), (4, 3), (2, 1, 2, 1, 2, 1, 2, 1)])
def test_the_library_reads_what_we_write_and_we_what_it_writes(dtype, shape, tmp_path):
    random = np.random.default_rng(1)
    array = (random.integers(0, 2, shape) if dtype == "BOOL" else random.integers(0, 99, shape)).astype(DTYPES[dtype])
    ours = save(tmp_path / "ours", {"x": array, "ä.weight": array}, {"k": "v"})
    theirs = tmp_path / "theirs"
    safetensors.numpy.save_file({"x": array, "ä.weight": array}, theirs, {"k": "v"})
    for path in (ours, theirs):
        header = read_header(path)
        assert header.metadata == {"k": "v"}
        assert sorted(header.tensors) == ["x", "ä.weight"]
        for name, info in header.tensors.items():
            mine = read_tensor(path, info)
            assert (info.dtype, info.shape, mine.dtype, mine.shape) == (dtype, shape, array.dtype, shape)
            assert mine.tobytes() == array.tobytes()
            with safetensors.safe_open(path, "numpy") as file:
                assert file.get_tensor(name).tobytes() == array.tobytes()
                assert file.metadata() == {"k": "v"}


def test_an_empty_file_of_tensors(tmp_path):
    for content in ("{}", "{ }  ", '{"__metadata__":{}}'):
        path = raw_file(tmp_path / "empty", content)
        assert read_header(path) == ({}, {}, 8 + len(content))
        assert library_accepts(path)


def test_header_order_is_that_of_the_data(tmp_path):
    first, second = ({"dtype": "I8", "shape": [2], "data_offsets": [n, n + 2]} for n in (0, 2))
    path = raw_file(tmp_path / "x", {"late": second, "early": first}, b"\1\2\3\4")
    assert list(read_header(path).tensors) == ["early", "late"]
    assert read_tensor(path, read_header(path).tensors["late"]).tolist() == [3, 4]


def test_rows(tmp_path):
    array = np.arange(24, dtype=np.float32).reshape(6, 2, 2).astype(ml_dtypes.bfloat16)
    path = save(tmp_path / "x", {"pad": np.zeros(3, np.int8), "x": array})
    info = read_header(path).tensors["x"]
    for start in range(7):
        for stop in range(start, 7):
            rows = read_rows(path, info, start, stop)
            assert rows.shape == (stop - start, 2, 2)
            assert rows.tobytes() == array[start:stop].tobytes()
    for start, stop in ((-1, 2), (2, 1), (0, 7)):
        with pytest.raises(ShapeError, match="'x' of shape"):
            read_rows(path, info, start, stop)
    with pytest.raises(ShapeError):
        read_rows(path, info._replace(shape=()), 0, 0)
    with path.open("rb") as file:
        assert read_rows(file.fileno(), info, 1, 2).tobytes() == array[1:2].tobytes()


def test_a_tensor_larger_than_one_read_is_whole_and_not_mapped(tmp_path):
    array = np.random.default_rng(0).integers(0, 2**31, (5, 2**20), dtype=np.int32)  # 20 MiB
    path = save(tmp_path / "x", {"x": array})
    read = read_tensor(path, read_header(path).tensors["x"])
    assert np.array_equal(read, array)
    assert read.flags.owndata or read.base.flags.owndata
    read[0, 0] += 1  # ours to change


def test_a_file_cut_after_its_header_was_read(tmp_path):
    path = save(tmp_path / "cut", {"x": np.arange(100, dtype=np.int64)})
    info = read_header(path).tensors["x"]
    os.truncate(path, info.start + 100)
    with pytest.raises(CheckpointError, match="cut: tensor 'x': the file ends at byte"):
        read_tensor(path, info)


def test_as_float32():
    for dtype in (np.float16, ml_dtypes.bfloat16):
        every = np.arange(2**16, dtype=np.uint16).view(dtype)
        with np.errstate(invalid="ignore"):
            wide = as_float32(every)
            assert wide.dtype == np.float32
            assert np.array_equal(wide.astype(dtype)[~np.isnan(wide)], every[~np.isnan(wide)])
    x = np.zeros(2, np.float32)
    assert as_float32(x) is x
    for dtype in (np.float64, np.int32):
        with pytest.raises(DtypeError, match="float32, float16 or bfloat16"):
            as_float32(np.zeros(1, dtype))


@given(shapes=st.lists(st.tuples(st.sampled_from(list(DTYPES)), st.lists(st.integers(0, 5), max_size=4)), max_size=6))
def test_planned_offsets_are_what_the_reader_finds(shapes, tmp_path_factory):
    entries = [(f"t{n}", dtype, tuple(shape)) for n, (dtype, shape) in enumerate(shapes)]
    head, offsets = header_bytes(entries, {"k": "ü"}), plan_offsets(entries)
    path = tmp_path_factory.getbasetemp() / "planned"
    path.write_bytes(head + bytes(offsets[-1][1] if offsets else 0))
    found = read_header(path)
    assert len(head) % 8 == 0
    assert found.size == len(head)
    assert {info.name: (info.start - found.size, info.end - found.size) for info in found.tensors.values()} == {
        name: span for (name, _, _), span in zip(entries, offsets, strict=True)
    }


def test_a_header_is_written_again_in_its_reserved_room(tmp_path):
    entries = [("x", "F32", (3,))]
    room = len(header_bytes(entries, {"figures": "?"})) + 100
    first = header_bytes(entries, {}, room)
    last = header_bytes(entries, {"figures": "1" * 90}, len(first))
    assert len(first) == len(last) == -(-room // 8) * 8
    path = tmp_path / "x"
    path.write_bytes(first + np.float32([1, 2, 3]).tobytes())
    with path.open("r+b") as file:
        file.write(last)
    assert read_header(path).metadata == {"figures": "1" * 90}
    assert safetensors.numpy.load_file(path)["x"].tolist() == [1, 2, 3]
    with pytest.raises(CheckpointError, match=f"header: it needs .* bytes; {len(first)} are reserved"):
        header_bytes(entries, {"figures": "1" * 300}, len(first))


@pytest.mark.parametrize(
    ("entries", "metadata", "message"),
    [
        ([("x", "F32", (1,)), ("x", "F32", (1,))], {}, "'x' appears twice"),
        ([("x", "FP4", (1,))], {}, "dtype 'FP4'"),
        ([("x", "F32", (-1,))], {}, "shape"),
        ([("x", "F32", (1.0,))], {}, "shape"),
        ([("", "F32", (1,))], {}, "tensor name"),
        ([("x", "F32", (1,) * 9)], {}, "at most 8"),
        ([], {"k": 1}, "a string is needed"),
    ],
)
def test_we_write_nothing_that_we_would_not_read(entries, metadata, message):
    with pytest.raises(CheckpointError, match=message):
        header_bytes(entries, metadata)


HOSTILE = {
    "tensors-400000": "{"
    + "".join(f'"{n}":{{"dtype":"I8","shape":[0],"data_offsets":[0,0]}},' for n in range(400_000)),
    "arrays": '{"a":{"shape":[' + "[],[]," * 1_000_000 + "]}}",
    "pairs": '{"__metadata__":{' + ",".join(f'"{n}":""' for n in range(500_000)) + "}}",
    "quotes": '{"' + '\\"' * 5_000_000,
    "colons": "{" + '"":' * 3_000_000,
    "spaces": "{" + " " * 10_000_000,
    "strings": '{"a":{' + '"",' * 3_000_000,
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_headers_cost_little(case, tmp_path):
    path = raw_file(tmp_path / "x", HOSTILE[case])
    start = time.process_time()
    with pytest.raises(CheckpointError):
        read_header(path)
    assert time.process_time() - start < 5
    tracemalloc.start()
    with pytest.raises(CheckpointError):
        read_header(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * path.stat().st_size + 2**24


SMALL = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.zeros(4, ml_dtypes.bfloat16)}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return save(tmp_path_factory.mktemp("small") / "x", SMALL, {"format": "pt"}).read_bytes()


def outcome(content, path):
    """We refuse with our own error or accept; what we accept the library accepts too, and reads as we do."""
    path.write_bytes(content)
    try:
        found = read_header(path)
    except RefqError as refusal:
        message = str(refusal)
    else:
        message = ""
    assert message.startswith(f"{path}: " if message else "")
    if message:
        return
    with safetensors.safe_open(path, "numpy") as file:
        assert set(file.keys()) == set(found.tensors)
        for name, info in found.tensors.items():
            if info.dtype != "BOOL":
                assert file.get_tensor(name).tobytes() == read_tensor(path, info).tobytes()


@settings(max_examples=400)
@given(
    edits=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=4),
    cut=st.integers(-20, 20),
)
def test_flipped_and_missing_bytes(edits, cut, small, tmp_path_factory):
    content = bytearray(small)
    for position, value in edits:
        content[position % len(content)] = value
    content = content[:cut] if cut < 0 else content + bytes(cut // 10)
    outcome(bytes(content), tmp_path_factory.getbasetemp() / "flipped")


PIECES = st.sampled_from(
    ["{", "}", "[", "]", ",", ":", '"', "\\", "0", "-1", "24", "1e3", "2.0", "null", "true", "NaN", '"a.weight"']
    + ['"dtype"', '"F16"', '"F8_E4M3"', '"__metadata__"', "{}", "[]", " ", "\0", "\ud7ff", '"shape":[0]', "9" * 30, "é"]
)


@settings(max_examples=400)
@given(edits=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 12), PIECES), min_size=1, max_size=3))
def test_edited_json(edits, small, tmp_path_factory):
    size = 8 + int.from_bytes(small[:8], "little")
    content = small[8:size].decode().rstrip()
    for position, taken, piece in edits:
        position %= len(content)
        content = content[:position] + piece + content[position + taken :]
    content = content.encode()
    path = tmp_path_factory.getbasetemp() / "edited"
    outcome(len(content).to_bytes(8, "little") + content + small[size:], path)


def test_stories260k(data):
    path = data / "models" / "stories260K" / "model.safetensors"
    header = read_header(path)
    assert len(header.tensors) == 47
    with safetensors.safe_open(path, "numpy") as file:
        for name, info in header.tensors.items():
            assert np.array_equal(read_tensor(path, info), file.get_tensor(name))
