"""Open files that somebody else wrote: regular files, links that stay inside, capped sizes, plain JSON."""

import errno
import json
import os
import reprlib
import stat

CONTAINERS = 100_000  # arrays and objects in one JSON text: more than any real file has, and a bound on its memory
_REASONS = {
    errno.ENOENT: "the file is missing",
    errno.ENOTDIR: "the file is missing",
    errno.ELOOP: "the symbolic link leads nowhere",
    errno.ENAMETOOLONG: "the name is too long",
    errno.EACCES: "reading it is not permitted",
    errno.ENXIO: "it is not a regular file",
}
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 100
_SHORT.maxlevel = 2


def shown(value):
    """A value out of a file as a message shows it: quoted, escaped, short.

    >>> shown("weight\\n")
    "'weight\\\\n'"
    """
    return _SHORT.repr(value)


def open_regular(path, error, named=False):
    """A descriptor of the regular file at `path`, which the caller closes.

    A symbolic link is followed only to a file of the same directory, or from `snapshots/<revision>/` to `blobs/`
    beside `snapshots/`, as the Hugging Face cache lays files out. A link swapped in after that check is not followed.

    Parameters
        path: the file; messages show it as given.
        error: the class of error to raise, a FileError.
        named: bool; the user names this very file, and a link is followed wherever it leads.
    Raises
        error: missing, not permitted, a link that leaves, a directory, FIFO, socket or device.
    """
    target = _target(path, error, named)
    try:
        # O_NONBLOCK: a FIFO without a writer must not hang us; it has no effect on regular files
        descriptor = os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as problem:
        if problem.errno not in _REASONS:
            raise
        raise error(f"{path}: {_REASONS[problem.errno]}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise error(f"{path}: it is not a regular file")
    return descriptor


def read_bytes(path, ceiling, error, named=False):
    """The whole file, which may have at most `ceiling` bytes."""
    with os.fdopen(open_regular(path, error, named), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        raw = file.read(ceiling + 1) if size <= ceiling else b""
    if max(size, len(raw)) > ceiling:
        raise error(f"{path}: the file has {max(size, len(raw))} bytes; at most {ceiling} are read")
    return raw


def read_json(path, ceiling, error):
    """The JSON object in a file of at most `ceiling` bytes; see `parse_json`."""
    raw = read_bytes(path, ceiling, error)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise error(f"{path}: byte {problem.start} is not UTF-8") from None
    return parse_object(text, path, error)


def parse_object(text, path, error):
    """The object that is all of a JSON text; see `parse_json`."""
    if text.count("[") + text.count("{") > CONTAINERS:
        raise error(f"{path}: it has more than {CONTAINERS} JSON arrays and objects")
    value = parse_json(text, path, error)
    if not isinstance(value, dict):
        raise error(f"{path}: it holds a JSON {type(value).__name__}; an object is needed")
    return value


def parse_json(text, path, error):
    """JSON text to Python, without duplicate keys, NaN, infinity or deep nesting.

    >>> parse_json('{"a": [1, 2]}', "file", ValueError)
    {'a': [1, 2]}
    """
    try:
        return json.loads(text, object_pairs_hook=_object, parse_float=_finite, parse_constant=_finite)
    except RecursionError:
        raise error(f"{path}: its JSON is nested too deeply") from None
    except ValueError as problem:
        raise error(f"{path}: it is not valid JSON: {problem}") from None


def _target(path, error, named):
    path = os.fspath(path)
    if "\0" in path:
        raise error(f"{shown(path)}: a path cannot hold NUL")
    directory = os.path.realpath(os.path.dirname(path) or ".")
    target = os.path.realpath(os.path.join(directory, os.path.basename(path)))
    above, revision = os.path.split(os.path.dirname(directory))
    homes = [directory, os.path.join(above, "blobs")] if revision == "snapshots" else [directory]
    if not named and os.path.dirname(target) not in homes and not os.path.isdir(target):
        raise error(f"{path}: the symbolic link leaves the directory; put the file itself there")
    return target


def _object(pairs):
    value = dict(pairs)
    if len(value) < len(pairs):
        seen = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise ValueError(f"the key {shown(twice)} appears twice")
    return value


def _finite(text):
    value = float(text)
    if value - value != 0:
        raise ValueError(f"the number {text[:40]} is not finite")
    return value
