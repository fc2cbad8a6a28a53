"""The header of a GGUF file, and every rule it must keep.

Layout, little-endian: "GGUF", u32 version, u64 tensors, u64 keys; the keys: string, u32 type, value; the tensors:
string, u32 axes, u64 sizes with the fastest first, u32 type, u64 offset; zeros up to a multiple of
`general.alignment`; the data.
"""

import os
import struct
from typing import NamedTuple

import numpy as np

from refq.errors import FormatError
from refq.files.gguf_types import ARRAY, SCALARS, STRING, TENSOR_TYPES, UNREAD, Value, byte_count, padded
from refq.files.strict import shown

HEADER_BYTES = 2**28
TENSORS, KEYS, AXES = 2**16, 2**12, 4
STRING_BYTES, ELEMENTS = 2**24, 2**22  # of one string; of all arrays together
NAME_BYTES, NUMBERS = 63, 2**40  # of a tensor's name; in one tensor
_BUFFER = 2**20
_KINDS = {number: kind for kind, (number, _) in SCALARS.items()} | {STRING: "str"}
_TYPES = {one.number: name for name, one in TENSOR_TYPES.items()}


class GgufTensor(NamedTuple):
    """One tensor of a file: shape with the slowest axis first; `start` and `end` count bytes from the beginning."""

    name: str
    kind: str
    shape: tuple
    start: int
    end: int


class GgufHeader(NamedTuple):
    """metadata: key -> Value; tensors: name -> GgufTensor in file order; alignment in bytes."""

    metadata: dict
    tensors: dict
    alignment: int


def parse_gguf(descriptor, path):
    """The header of an open file, checked against the length of that file.

    Parameters
        descriptor: of the file.
        path: how messages call it.
    Raises
        FormatError: a rule is broken; the message names the file, the key or tensor, and the rule.
    """
    cursor = _Cursor(descriptor, path)
    magic, version = cursor.bytes(4, "the magic"), cursor.number("I", "the version")
    if magic != b"GGUF":
        raise FormatError(f"{path}: the file starts with {shown(magic)}; b'GGUF' is needed")
    if version not in (2, 3):
        hint = "; the file is big-endian" if version.to_bytes(4, "little")[:3] == bytes(3) else ""
        raise FormatError(f"{path}: version {version}; 2 and 3 are read{hint}")
    tensors = cursor.count("Q", TENSORS, "tensors")
    keys = cursor.count("Q", KEYS, "keys")
    metadata = {}
    for _ in range(keys):
        key = cursor.string("a key", 2**16)
        if not key or not key.isprintable():
            raise FormatError(f"{path}: the key {shown(key)}; printable characters are needed")
        if key in metadata:
            raise FormatError(f"{path}: the key {shown(key)} appears twice")
        metadata[key] = _value(cursor, f"key {shown(key)}")
    alignment = _alignment(metadata, path)
    infos = [_tensor(cursor) for _ in range(tensors)]
    return GgufHeader(metadata, _layout(infos, cursor, alignment), alignment)


class _Cursor:
    """Reads a file from its beginning, never more than its length promises."""

    def __init__(self, descriptor, path):
        self.descriptor, self.path, self.position = descriptor, path, 0
        self.length = os.fstat(descriptor).st_size
        self.elements = ELEMENTS
        self._start, self._buffer = 0, b""

    def bytes(self, size, what):
        end = self.position + size
        if end > min(self.length, HEADER_BYTES):
            limit = f"the file has {self.length} bytes" if end > self.length else f"at most {HEADER_BYTES} are read"
            raise FormatError(f"{self.path}: {what} reaches to byte {end} of the header; {limit}")
        if end > self._start + len(self._buffer):
            self._start = self.position
            self._buffer = os.pread(self.descriptor, max(size, _BUFFER), self.position)
            if len(self._buffer) < size:
                raise FormatError(f"{self.path}: the file has become shorter while it was read")
        at = self.position - self._start
        self.position = end
        return self._buffer[at : at + size]

    def number(self, form, what):
        return struct.unpack(f"<{form}", self.bytes(struct.calcsize(f"<{form}"), what))[0]

    def count(self, form, most, what):
        found = self.number(form, f"the number of {what}")
        if found > most:
            raise FormatError(f"{self.path}: {found} {what}; at most {most} are read")
        return found

    def string(self, what, most=STRING_BYTES):
        raw = self.bytes(self.count("Q", most, f"bytes of {what}"), what)
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as problem:
            raise FormatError(f"{self.path}: byte {problem.start} of {what} is not UTF-8") from None


def _value(cursor, what):
    number = cursor.number("I", f"the type of {what}")
    if number != ARRAY:
        kind = _kind(number, what, cursor.path)
        return Value(kind, _scalar(cursor, kind, what))
    kind = _kind(cursor.number("I", f"the element type of {what}"), what, cursor.path)
    count = cursor.count("Q", cursor.elements, f"elements of {what}")
    cursor.elements -= count
    if kind == "str":
        return Value("[str]", [cursor.string(f"an element of {what}") for _ in range(count)])
    form = SCALARS[kind][1]
    raw = cursor.bytes(count * struct.calcsize(f"<{form}"), what)
    if kind == "bool" and raw.strip(b"\0\1"):
        raise FormatError(f"{cursor.path}: {what} holds a truth value that is neither 0 nor 1")
    return Value(f"[{kind}]", np.frombuffer(raw, f"<{form}").tolist())


def _kind(number, what, path):
    if number not in _KINDS:
        raise FormatError(f"{path}: {what} has type {number}; one of {sorted(_KINDS)} is needed, or an array of it")
    return _KINDS[number]


def _scalar(cursor, kind, what):
    if kind == "str":
        return cursor.string(what)
    if kind == "bool" and (found := cursor.number("B", what)) > 1:
        raise FormatError(f"{cursor.path}: {what} is the truth value {found}; 0 or 1 is needed")
    return bool(found) if kind == "bool" else cursor.number(SCALARS[kind][1], what)


def _alignment(metadata, path):
    kind, value = metadata.get("general.alignment", Value("u32", 32))
    if kind != "u32" or not 8 <= value <= 2**16 or value & (value - 1):
        raise FormatError(f"{path}: general.alignment is {kind} {shown(value)}; a u32 power of 2 in 8..65536 is needed")
    return value


def _tensor(cursor):
    """(name, type, shape, offset) of a tensor."""
    path, name = cursor.path, cursor.string("the name of a tensor", NAME_BYTES)
    if not name or not name.isprintable():
        raise FormatError(f"{path}: tensor name {shown(name)}; printable characters are needed")
    what = f"tensor {shown(name)}"
    axes = cursor.number("I", f"the axes of {what}")
    if not 1 <= axes <= AXES:
        raise FormatError(f"{path}: {what} has {axes} axes; 1 to {AXES} are needed")
    shape, count = [cursor.number("Q", f"the shape of {what}") for _ in range(axes)], 1
    for n in shape:
        count *= n
    if not 1 <= count <= NUMBERS:
        raise FormatError(f"{path}: {what} has the sizes {shown(shape)}; 1 to {NUMBERS} numbers are needed")
    number = cursor.number("I", f"the type of {what}")
    if number not in _TYPES:
        known = f"type {UNREAD[number]}" if number in UNREAD else f"the unknown type {number}"
        raise FormatError(f"{path}: {what} has {known}; {', '.join(TENSOR_TYPES)} are read")
    kind = _TYPES[number]
    block = TENSOR_TYPES[kind].block
    if shape[0] % block:
        raise FormatError(f"{path}: {what} has rows of {shape[0]}; {kind} needs a multiple of {block}")
    return name, kind, tuple(reversed(shape)), cursor.number("Q", f"the offset of {what}")


def _layout(infos, cursor, alignment):
    """Tensors follow each other in the order of the infos, each at the next multiple of the alignment."""
    path, tensors, start, position = cursor.path, {}, padded(cursor.position, alignment), 0
    for name, kind, shape, offset in infos:
        if name in tensors:
            raise FormatError(f"{path}: tensor {shown(name)} appears twice")
        if offset != position:
            raise FormatError(f"{path}: tensor {shown(name)} has offset {offset}; it must follow at {position}")
        end = offset + byte_count(kind, shape)
        tensors[name] = GgufTensor(name, kind, shape, start + offset, start + end)
        position = padded(end, alignment)
    end = start + end if infos else cursor.position
    if not end <= cursor.length <= padded(end, alignment):
        raise FormatError(f"{path}: the file has {cursor.length} bytes; its header describes {end}")
    return tensors
