"""The bytes of tensors in a file that is written: those of a killed run are believed only by their digest."""

import hashlib
import os

import numpy as np

from refq.jobs import output
from refq.jobs.journal import append, open_journal
from refq.jobs.progress import progress

_PIECE = 2**22  # bytes read at a time to check a digest


def write_spans(file, spans, parts):
    """Write the pieces of a tensor, each after the one before it of the same part.

    Parameters
        file: descriptor.
        spans: part -> (start, end) in the file, in the order in which they are digested.
        parts: iterator of (part, array), the pieces.
    Returns
        digest: sha256 in hex of all bytes.
    """
    digest, ends = hashlib.sha256(), {}
    for part, array in parts:
        data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        start = ends.get(part, spans[part][0])
        output.write(file, data, start)
        digest.update(data)
        ends[part] = start + data.nbytes
    return digest.hexdigest()


def are_written(file, spans, line):
    """Whether what a line of the journal promises is in the file; `line` is None if there is none."""
    if line is None:
        return False
    digest = hashlib.sha256()
    for start, end in spans.values():
        for place in range(start, end, _PIECE):
            digest.update(os.pread(file, min(_PIECE, end - place), place))
    return digest.hexdigest() == line["sha256"]


def write_tensors(begun, where, fixed, spans, pieces, doing):
    """Write a file of a run: every tensor in its place, except those that a killed run had finished.

    Parameters
        begun: Begun, see refq.jobs.room.
        where: (path, bytes) of the file; what nobody writes stays 0.
        fixed: list of (place, bytes), what lies around the tensors.
        spans: tensor name -> {part: (start, end)}.
        pieces: function of a name; gives (part, array) of all that stands for that tensor.
        doing: what the progress says.
    """
    sizes = {name: sum(end - start for start, end in parts.values()) for name, parts in spans.items()}
    with output.allocated(*where) as file, open_journal(os.path.join(begun.room, "journal")) as journal:
        for place, data in fixed:
            output.write(file, data, place)
        with progress(sum(sizes.values()), "B", doing) as advance:
            for name, parts in spans.items():
                if not are_written(file, parts, begun.done.get(name)):
                    append(journal, {"tensor": name, "sha256": write_spans(file, parts, pieces(name))})
                advance(sizes[name])
        os.fsync(file)
