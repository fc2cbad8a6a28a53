"""The weight files of the output: every finished tensor goes into the journal, and is believed only by its digest."""

import concurrent.futures
import contextlib
import hashlib
import os

import numpy as np

from refq.files.quantization import packed_tensors
from refq.files.safetensors import header_bytes
from refq.jobs import output
from refq.jobs.figures import WIDEST, error_figures, six_digits
from refq.jobs.journal import append, canonical, open_journal
from refq.jobs.layer import pieces
from refq.jobs.plan import plan_layout
from refq.jobs.progress import progress

_PIECE = 2**22  # bytes read at a time to check a digest


def plan_shards(files, record):
    """File name -> (units, Layout), with room in each header for the figures that are not known yet."""
    return {
        name: (units, plan_layout(units, metadata(record, {unit.layer: WIDEST for unit in units if unit.scheme})))
        for name, units in files.items()
    }


def metadata(record, figures):
    """The safetensors metadata of one file; transformers refuses a file without `format`."""
    return {"format": "pt", "refq": canonical({"run": record, "figures": figures})}


def write_shards(room, shards, source, record, done, pieces=pieces, doing="quantizing"):
    """Write every weight file into `room`/model.

    Parameters
        room: the directory that output.claim gave.
        shards: what plan_shards gave.
        source: Source, or what else has a checkpoint and what pieces needs.
        record: the run record.
        done: tensor name -> journal line of a killed run.
        pieces: who makes the bytes of a unit, see refq.jobs.layer.
        doing: what the progress says.
    """
    total = sum(map(os.path.getsize, source.checkpoint.files))
    path = os.path.join(room, "journal")
    with open_journal(path) as journal, progress(total, "B", doing) as advance, _syncing() as sync:
        for name, (units, layout) in shards.items():
            with output.allocated(os.path.join(room, "model", name), layout.size) as file:
                figures = {}
                for unit in units:
                    line = done.get(unit.name)
                    if line is None or line["sha256"] != _digest(file, unit, layout.spans):
                        line = _write_unit(file, unit, layout.spans, pieces(unit, source, errors := []), errors)
                        append(journal, line)
                    figures |= {unit.layer: line["figures"]} if unit.scheme else {}
                    advance(_stored(source.checkpoint, unit))
                output.write(file, header_bytes(layout.entries, metadata(record, figures), layout.header), 0)
                sync(file)


@contextlib.contextmanager
def _syncing():
    """Give a function that brings a file to the disk while others are written; at the end all are there."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = []
        yield lambda file: waiting.append(pool.submit(_synced, os.dup(file)))
        for one in waiting:
            one.result()


def _synced(file):
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _stored(checkpoint, unit):
    """Bytes that stand for the tensor of a unit in the checkpoint it is read from."""
    scheme = checkpoint.schemes.get(unit.layer) if unit.name.endswith(".weight") else None
    parts = packed_tensors(unit.layer, unit.shape, scheme) if scheme else [unit.name]
    infos = (checkpoint.tensors[name][1] for name in parts)
    return sum(info.end - info.start for info in infos)


def _write_unit(file, unit, spans, parts, errors):
    """Write the (name, array) of `parts`, which fills `errors` on the way; gives the line of the journal."""
    digest, ends = hashlib.sha256(), {}
    for part, array in parts:
        data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        start = ends.get(part, spans[part][0])
        output.write(file, data, start)
        digest.update(data)
        ends[part] = start + data.nbytes
    line = {"tensor": unit.name, "sha256": digest.hexdigest()}
    if unit.scheme:
        stored = sum(spans[name][1] - spans[name][0] for name, _, _ in unit.parts)
        bits = six_digits(8 * stored / np.prod(unit.shape, dtype=np.int64))
        line["figures"] = {"bits_per_weight": bits} | error_figures(errors)
    return line


def _digest(file, unit, spans):
    digest = hashlib.sha256()
    for name, _, _ in unit.parts:
        start, end = spans[name]
        for place in range(start, end, _PIECE):
            digest.update(os.pread(file, min(_PIECE, end - place), place))
    return digest.hexdigest()
