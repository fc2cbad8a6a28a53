"""Bytes of a tensor in the file that is written: they are believed only by their digest."""

import hashlib
import os

import numpy as np

from refq.jobs import output

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
