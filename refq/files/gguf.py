"""GGUF files: a strict reader of single tensors and rows, and the header of a file written as a stream."""

import os
import struct

import numpy as np

from refq.errors import FormatError, ShapeError
from refq.files.gguf_header import NAME_BYTES, GgufHeader, parse_gguf
from refq.files.gguf_types import ARRAY, SCALARS, STRING, TENSOR_TYPES, byte_count, padded
from refq.files.strict import open_regular, shown

ALIGNMENT = 32
_PIECE = 2**24  # bytes of one pread


def is_gguf(path):
    """Whether a path is that of a GGUF file, by its name: a model directory has another form altogether."""
    return os.path.isfile(path) and os.fspath(path).lower().endswith(".gguf")


def open_gguf(path):
    """Open a GGUF file and check its header; GgufFile reads the tensors.

    Raises
        FormatError: missing, or a rule of the format is broken.
    """
    descriptor = open_regular(path, FormatError, named=True)
    try:
        return GgufFile(path, parse_gguf(descriptor, path), _identity(descriptor))
    finally:
        os.close(descriptor)


class GgufFile:
    """A checked file; `open_gguf` makes one. header: see GgufHeader."""

    def __init__(self, path, header: GgufHeader, identity):
        self.path, self.header, self._identity = os.fspath(path), header, identity

    def rows(self, name, start, stop):
        """The bytes of rows start..stop-1 of one tensor, a row along its last axis: uint8 (stop - start, bytes)."""
        info = self.header.tensors[name]
        size = byte_count(info.kind, info.shape[-1:])
        count = (info.end - info.start) // size
        if not 0 <= start <= stop <= count:
            raise ShapeError(f"rows {start}..{stop} of {shown(name)} of shape {info.shape} do not exist")
        data = np.empty((stop - start) * size, np.uint8)
        descriptor = open_regular(self.path, FormatError, named=True)
        try:
            if _identity(descriptor) != self._identity:
                raise FormatError(f"{self.path}: the file has changed since its header was read")
            _fill(descriptor, memoryview(data), info.start + start * size, f"{self.path}: tensor {shown(name)}")
        finally:
            os.close(descriptor)
        return data.reshape(stop - start, size)


def gguf_header_bytes(metadata, tensors, alignment=ALIGNMENT):
    """The header of a file whose tensors follow in this order, each padded with zeros to the alignment.

    Parameters
        metadata: dict, key -> Value.
        tensors: list of (name, type as "Q4_0", shape with the slowest axis first).
    Returns
        header: bytes, as long as the alignment asks.
        spans: list of (first byte in the file, bytes) of the tensors.
    Raises
        FormatError: our own reader would refuse a name, a type or a shape.

    >>> from refq.files.gguf_types import Value
    >>> header, spans = gguf_header_bytes({"general.architecture": Value("str", "llama")}, [("x", "Q4_0", (2, 32))])
    >>> len(header), spans
    (128, [(128, 36)])
    """
    parts = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(metadata))]
    for key, value in metadata.items():
        parts += [_string(key), _value_bytes(value, key)]
    offset, spans = 0, []
    for name, kind, shape in tensors:
        if not 1 <= len(name.encode()) <= NAME_BYTES:
            raise FormatError(f"tensor name {shown(name)}; 1..{NAME_BYTES} bytes are needed")
        if shape[-1] % TENSOR_TYPES[kind].block:
            raise FormatError(f"tensor {shown(name)} has rows of {shape[-1]}; {kind} needs whole blocks")
        parts += [_string(name), struct.pack(f"<I{len(shape)}Q", len(shape), *reversed(shape))]
        parts.append(struct.pack("<IQ", TENSOR_TYPES[kind].number, offset))
        spans.append((offset, byte_count(kind, shape)))
        offset = padded(offset + spans[-1][1], alignment)
    raw = b"".join(parts)
    raw = raw.ljust(padded(len(raw), alignment), b"\0")
    return raw, [(len(raw) + start, size) for start, size in spans]


def _string(text):
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _value_bytes(value, key):
    kind, content = value
    if not kind.startswith("["):
        return struct.pack("<I", _number(kind)) + _content(kind, [content])
    kind = kind[1:-1]
    return struct.pack("<IIQ", ARRAY, _number(kind), len(content)) + _content(kind, content)


def _number(kind):
    return STRING if kind == "str" else SCALARS[kind][0]


def _content(kind, values):
    if kind == "str":
        return b"".join(map(_string, values))
    return struct.pack(f"<{len(values)}{SCALARS[kind][1]}", *values)


def _fill(descriptor, room, position, what):
    while room:
        piece = os.pread(descriptor, min(_PIECE, len(room)), position)
        if not piece:
            raise FormatError(f"{what}: the file ends at byte {position}; {len(room)} more were promised")
        room[: len(piece)] = piece
        room, position = room[len(piece) :], position + len(piece)


def _identity(descriptor):
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
