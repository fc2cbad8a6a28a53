"""The fields of ONNX's protocol buffers in a file that somebody else wrote: every span checked, nothing copied.

A message is a row of fields: a varint of 8 * number + wire type; then a varint (0), 8 bytes (1), a length and so many
bytes (2: text, a message, or packed numbers), or 4 bytes (5). Numbers and names are those of onnx.proto.
"""

from typing import NamedTuple

from refq.errors import FormatError
from refq.files.strict import shown

FIELDS = 2**21  # in one file: more than any real graph has, and a bound on time and memory
_VARINT, _BYTES = 0, 2
_FIXED = {1: 8, 5: 4}
# message -> number of a field -> its name, what it is, whether it may stand there several times; None is passed over
_SCHEMA = {
    "model": {
        1: ("ir_version", "int", False),
        **dict.fromkeys((2, 3, 4, 5, 6)),  # who made it
        7: ("graph", "graph", False),
        8: ("opset_import", "opset", True),
        14: ("metadata_props", "pair", True),
    },
    "graph": {
        1: ("node", "node", True),
        **dict.fromkeys((2, 10, 13)),  # name, doc_string; value_info, which repeats what follows from the nodes
        5: ("initializer", "tensor", True),
        11: ("input", "value", True),
        12: ("output", "value", True),
    },
    "node": {
        1: ("input", "text", True),
        2: ("output", "text", True),
        **dict.fromkeys((3, 6, 9)),  # name, doc_string, metadata_props
        4: ("op_type", "text", False),
        5: ("attribute", "attribute", True),
        7: ("domain", "text", False),
    },
    "attribute": {
        1: ("name", "text", False),
        3: ("i", "int", False),
        8: ("ints", "int", True),
        **dict.fromkeys((13, 20)),  # doc_string; type, which the field says that is there
    },
    "tensor": {
        1: ("dims", "int", True),
        2: ("data_type", "int", False),
        8: ("name", "text", False),
        9: ("raw_data", "span", False),
        **dict.fromkeys((12, 16)),  # doc_string, metadata_props
        13: ("external_data", "pair", True),
        14: ("data_location", "int", False),
    },
    "value": {1: ("name", "text", False), **dict.fromkeys((2, 3, 4))},
    "opset": {1: ("domain", "text", False), 2: ("version", "int", False)},
    "pair": {1: ("key", "text", False), 2: ("value", "text", False)},
}


class Span(NamedTuple):
    """Bytes start .. end - 1 of the file."""

    start: int
    end: int


def parse_model(raw, path):
    """The bytes of an ONNX file to dicts, name of a field -> value; a list of them where there may be several.

    Raises
        FormatError: a field of another kind than ONNX says, one that reaches beyond its message, or one that we do not
            read and that changes what a graph means.
    """
    return _Message(raw, path).parse("model", Span(0, len(raw)))


class _Message:
    """Parses the messages of one file, and counts their fields."""

    def __init__(self, raw, path):
        self.raw, self.path, self.left = raw, path, FIELDS

    def parse(self, kind, span):
        found = {name: [] for name, _, many in filter(None, _SCHEMA[kind].values()) if many}
        position, end = span
        while position < end:
            self.left -= 1
            if self.left < 0:
                raise FormatError(f"{self.path}: more than {FIELDS} fields; at most that many are read")
            tag, position = self._varint(position, end)
            value, position = self._value(tag & 7, position, end)
            if tag >> 3 not in _SCHEMA[kind]:
                raise FormatError(f"{self.path}: field {tag >> 3} of a message {kind!r} is not read")
            if _SCHEMA[kind][tag >> 3]:
                self._add(found, kind, tag, value)
        return found

    def _add(self, found, kind, tag, value):
        name, what, many = _SCHEMA[kind][tag >> 3]
        if many and what == "int" and tag & 7 == _BYTES:  # packed
            found[name] += self._packed(value)
            return
        due = _VARINT if what == "int" else _BYTES
        if tag & 7 != due:
            raise FormatError(f"{self.path}: {name} of a message {kind!r} has wire type {tag & 7}; {due} is due")
        value = self._text(value, name) if what == "text" else value
        value = self.parse(what, value) if what in _SCHEMA else value
        if many:
            found[name].append(value)
        elif name in found:
            raise FormatError(f"{self.path}: {name} of a message {kind!r} stands there twice")
        else:
            found[name] = value

    def _value(self, wire, position, end):
        if wire == _VARINT:
            value, position = self._varint(position, end)
            return value - (value >> 63 << 64), position
        size = _FIXED.get(wire)
        if wire == _BYTES:
            size, position = self._varint(position, end)
        if size is None:
            raise FormatError(f"{self.path}: byte {position} follows wire type {wire}; 0, 1, 2 and 5 are read")
        if size > end - position:
            raise FormatError(f"{self.path}: {size} bytes from {position} on leave their message, which ends at {end}")
        return Span(position, position + size), position + size

    def _varint(self, position, end):
        value = 0
        for shift in range(0, 70, 7):
            if position >= end:
                raise FormatError(f"{self.path}: a number is cut off at byte {end}")
            byte = self.raw[position]
            position += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value & (2**64 - 1), position
        raise FormatError(f"{self.path}: the number before byte {position} has more than ten bytes")

    def _packed(self, span):
        numbers, position = [], span.start
        while position < span.end:
            self.left -= 1
            value, position = self._value(_VARINT, position, span.end)
            numbers.append(value)
            if self.left < 0:
                raise FormatError(f"{self.path}: more than {FIELDS} fields; at most that many are read")
        return numbers

    def _text(self, span, name):
        try:
            return str(self.raw[span.start : span.end], "utf-8")
        except UnicodeDecodeError:
            raise FormatError(f"{self.path}: {name} {shown(self.raw[span.start : span.end])} is not UTF-8") from None
