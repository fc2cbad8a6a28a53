"""What a killed run had finished: JSON lines, the run record first, then one line for every tensor that is written.

A line promises only that the bytes *were* written; whoever resumes checks their digest before believing it.
"""

import contextlib
import errno
import hashlib
import json
import os

from refq import __version__
from refq.errors import CheckpointError


def run_record(command, options, inputs):
    """What decides the output: two runs with equal records write equal bytes. No time, no path.

    Parameters
        command: the verb.
        options: dict.
        inputs: dict, file name -> sha256 in hex.
    """
    return {"command": command, "version": __version__, "options": options, "inputs": inputs, "seed": None}


def fingerprint(record):
    """sha256 of a run record in canonical JSON: two runs with the same one write the same bytes."""
    return hashlib.sha256(canonical(record).encode()).hexdigest()


def canonical(value):
    """JSON with sorted keys and no spaces.

    >>> canonical({"b": 1, "a": None})
    '{"a":null,"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def read_journal(path):
    """What a journal says: the run record (None if there is none), and tensor name -> line.

    A line that was cut off while it was written, or is not ours, is forgotten with all after it, in the file too.
    """
    try:
        with open(path, "rb") as file:
            raw = file.read()
    except FileNotFoundError:
        return None, {}
    lines, good = [], 0
    for line in raw.splitlines(keepends=True):
        try:
            found = json.loads(line)
        except ValueError:
            break
        whole = isinstance(found, dict) and (not lines or {"tensor", "sha256"} <= found.keys())
        if not whole or not line.endswith(b"\n"):
            break
        lines.append(found)
        good += len(line)
    os.truncate(path, good)
    return (lines[0] if lines else None), {line["tensor"]: line for line in lines[1:]}


@contextlib.contextmanager
def open_journal(path):
    """A descriptor to append to."""
    journal = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        yield journal
    finally:
        os.close(journal)


def append(journal, line):
    """Add one line, in one write."""
    data = (canonical(line) + "\n").encode()
    if os.write(journal, data) < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # what a short write means on a disk


def check_same_run(found, record, where, remedy):
    """Refuse to continue a run of other inputs, options or version; names what differs, and what would do."""
    if fingerprint(found) == fingerprint(record):
        return
    old, new = dict(_leaves(found)), dict(_leaves(record))
    differs = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    told = "; ".join(f"{name} was {old.get(name, 'absent')}, is {new.get(name, 'absent')}" for name in differs[:3])
    more = f" and {len(differs) - 3} more" if len(differs) > 3 else ""
    raise CheckpointError(f"{where}: it belongs to another run and cannot be resumed: {told}{more}; {remedy}")


def _leaves(value, name=""):
    if not isinstance(value, dict):
        yield name, json.dumps(value)
        return
    for key, item in value.items():
        yield from _leaves(item, f"{name}.{key}" if name else key)
