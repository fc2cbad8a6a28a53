"""The header of a safetensors file, and every rule it must keep."""

import math
import re
from typing import NamedTuple

import ml_dtypes
import numpy as np

from refq.errors import CheckpointError
from refq.files.strict import parse_json, shown

TENSORS = 100_000
NAME_LENGTH = 512
DIMENSIONS = 8
DTYPES = {
    **{f"F{8 * n}": np.dtype(f"<f{n}") for n in (8, 4, 2)},
    **{f"{kind}{8 * n}": np.dtype(f"<{kind.lower()}{n}") for kind in "IU" for n in (8, 4, 2, 1)},
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "BOOL": np.dtype(np.bool_),
}
_SPACE = r"[ \t\n\r]*+"
_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
# one entry at a time, so that a hostile header costs little more memory than its own length: a tensor of at most
# 1000 characters, or metadata of at most 1000 pairs; no quantifier gives back what it took
_ENTRY = re.compile(
    rf"{_SPACE}({_STRING}){_SPACE}:{_SPACE}"
    rf"(\{{[^{{}}]{{0,1000}}+\}}|\{{{_SPACE}(?:{_STRING}[ \t\n\r:,]*+){{0,2000}}+\}}){_SPACE}([,}}])",
    re.DOTALL,
)


class TensorInfo(NamedTuple):
    """One tensor of a file: `start` and `end` count bytes from the beginning of the file."""

    name: str
    dtype: str
    shape: tuple
    start: int
    end: int


class Header(NamedTuple):
    """tensors: name -> TensorInfo in file order; metadata: str -> str; size: bytes before the first tensor."""

    tensors: dict
    metadata: dict
    size: int


def parse_header(raw, length, path):
    """The JSON of a header to a Header.

    Parameters
        raw: bytes, the header without the 8 bytes of its length.
        length: bytes of the whole file.
        path: how messages call the file.
    Raises
        CheckpointError: a rule is broken.
    """
    if raw[:1] != b"{":
        raise CheckpointError(f"{path}: the header starts with {shown(raw[:1])}; it must start with '{{'")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise CheckpointError(f"{path}: byte {problem.start} of the header is not UTF-8") from None
    tensors, metadata, size = [], None, 8 + len(raw)
    for name, value in _entries(text, path):
        if name == "__metadata__" and metadata is None:
            metadata = _check_metadata(value, path)
        elif name == "__metadata__":
            raise CheckpointError(f"{path}: __metadata__ appears twice")
        else:
            tensors.append(_check_tensor(name, value, size, path))
        if len(tensors) > TENSORS:
            raise CheckpointError(f"{path}: it has more than {TENSORS} tensors")
    return Header(_check_layout(tensors, size, length, path), metadata or {}, size)


def byte_count(dtype, shape, name, path):
    """Bytes of a tensor; refuses a dtype that is not in DTYPES."""
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise CheckpointError(f"{path}: tensor {shown(name)} has dtype {shown(dtype)}; {', '.join(DTYPES)} are read")
    return math.prod(shape) * DTYPES[dtype].itemsize


def _entries(text, path):
    position = re.match(rf"\{{{_SPACE}\}}?", text).end()
    while text[position - 1] != "}":
        entry = _ENTRY.match(text, position)
        if not entry:
            raise CheckpointError(
                f"{path}: the header is malformed at character {position}: {shown(text[position : position + 100])}; "
                'an entry "name": {...} without nested objects is needed, a tensor\'s in at most 1000 characters'
            )
        yield parse_json(entry[1], path, CheckpointError), parse_json(entry[2], path, CheckpointError)
        position = entry.end()  # after a comma another entry must follow, after a brace none
    if text[position:].strip(" "):
        raise CheckpointError(f"{path}: the header has {shown(text[position:].strip(' '))} after its closing brace")


def _check_metadata(value, path):
    for key, text in value.items():
        if not isinstance(text, str):
            raise CheckpointError(f"{path}: __metadata__ {shown(key)} is {shown(text)}; a string is needed")
        if not (key + text).isascii() and re.search("[\ud800-\udfff]", key + text):
            raise CheckpointError(f"{path}: __metadata__ {shown(key)} holds half a UTF-16 pair")
    return value


def _check_tensor(name, value, size, path):
    if not 1 <= len(name) <= NAME_LENGTH or not name.isprintable():
        raise CheckpointError(f"{path}: tensor name {shown(name)}; 1..{NAME_LENGTH} printable characters are needed")
    if value.keys() != {"dtype", "shape", "data_offsets"}:
        raise CheckpointError(
            f"{path}: tensor {shown(name)} has the fields {shown(list(value))}; "
            "dtype, shape and data_offsets are needed"
        )
    for field, longest in (("shape", DIMENSIONS), ("data_offsets", 2)):
        if not _whole_numbers(value[field]) or len(value[field]) > longest:
            raise CheckpointError(
                f"{path}: tensor {shown(name)} has {field} {shown(value[field])}; "
                f"a list of at most {longest} whole numbers below 2**63 is needed"
            )
    count, offsets = byte_count(value["dtype"], value["shape"], name, path), value["data_offsets"]
    if len(offsets) != 2 or offsets[1] - offsets[0] != count:
        raise CheckpointError(
            f"{path}: tensor {shown(name)}, {value['dtype']} of shape {value['shape']}, has {count} bytes; "
            f"data_offsets {shown(offsets)} give another number"
        )
    return TensorInfo(name, value["dtype"], tuple(value["shape"]), size + offsets[0], size + offsets[1])


def _check_layout(tensors, size, length, path):
    tensors.sort(key=lambda info: (info.start, info.end))
    position, by_name = size, {}
    for info in tensors:
        if info.start != position:
            fault = "leaves a hole after" if info.start > position else "overlaps"
            raise CheckpointError(
                f"{path}: tensor {shown(info.name)} {fault} the tensor before it: "
                f"it starts at byte {info.start - size} of the data, not at {position - size}"
            )
        if info.name in by_name:
            raise CheckpointError(f"{path}: tensor {shown(info.name)} appears twice")
        position, by_name[info.name] = info.end, info
    if position != length:
        raise CheckpointError(f"{path}: the file has {length} bytes; its header describes {position}")
    return by_name


def _whole_numbers(values):
    return isinstance(values, list) and all(type(n) is int and 0 <= n < 2**63 for n in values)
