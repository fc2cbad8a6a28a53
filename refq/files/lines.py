"""JSON lines: an object a line, and the texts in it."""

from refq.errors import FormatError
from refq.files.strict import parse_json, read_bytes, shown

CEILING = 2**28  # bytes of a file
LINE = 2**20  # characters of a line


def read_objects(path):
    """The objects of a file, an item a line; blank lines do not count.

    Returns
        list of (where, dict): "FILE: line N" for messages, and what stands there.
    Raises
        FormatError: a line that is no object, or too long; a file without items.
    """
    try:
        lines = read_bytes(path, CEILING, FormatError, named=True).decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as problem:
        raise FormatError(f"{path}: byte {problem.start} is not UTF-8") from None
    found = [_object(line, f"{path}: line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise FormatError(f"{path}: it has no items; one JSON object a line is needed")
    return found


def text(raw, key, where):
    """The text under a key, without the spaces around it; refuses a blank one."""
    return checked_text(raw.get(key), key, where)


def checked_text(value, name, where):
    """A value as `text` gives it."""
    if not isinstance(value, str) or not value.strip():
        raise FormatError(f"{where}: {name} is {shown(value)}; text that is not blank is needed")
    return value.strip()


def _object(line, where):
    if len(line) > LINE:
        raise FormatError(f"{where}: it has {len(line)} characters; at most {LINE} are read")
    raw = parse_json(line, where, FormatError)
    if not isinstance(raw, dict):
        raise FormatError(f"{where}: it is a JSON {type(raw).__name__}; an object is needed")
    return where, raw
