"""The weight files of the output: every finished tensor goes into the journal, and is believed only by its digest."""

import concurrent.futures
import contextlib
import os

import numpy as np

from refq.files.safetensors import header_bytes
from refq.jobs import output
from refq.jobs.figures import WIDEST, error_figures, six_digits
from refq.jobs.journal import append, canonical, open_journal
from refq.jobs.layer import pieces
from refq.jobs.plan import plan_layout
from refq.jobs.progress import progress
from refq.jobs.spans import are_written, write_spans


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
        source: Source, or what else pieces needs.
        record: the run record.
        done: tensor name -> journal line of a killed run.
        pieces: who makes the bytes of a unit, see refq.jobs.layer.
        doing: what the progress says.
    """
    total = sum(int(np.prod(unit.shape)) for units, _ in shards.values() for unit in units)
    path = os.path.join(room, "journal")
    with open_journal(path) as journal, progress(total, "weights", doing) as advance, _syncing() as sync:
        for name, (units, layout) in shards.items():
            with output.allocated(os.path.join(room, "model", name), layout.size) as file:
                figures = {}
                for unit in units:
                    spans, errors = {part: layout.spans[part] for part, _, _ in unit.parts}, []
                    line = done.get(unit.name)
                    if not are_written(file, spans, line):
                        line = _write_unit(file, unit, spans, pieces(unit, source, errors), errors)
                        append(journal, line)
                    figures |= {unit.layer: line["figures"]} if unit.scheme else {}
                    advance(int(np.prod(unit.shape)))
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


def _write_unit(file, unit, spans, parts, errors):
    """Write the (name, array) of `parts`, which fills `errors` on the way; gives the line of the journal."""
    line = {"tensor": unit.name, "sha256": write_spans(file, spans, parts)}
    if unit.scheme:
        stored = sum(end - start for start, end in spans.values())
        bits = six_digits(8 * stored / np.prod(unit.shape, dtype=np.int64))
        line["figures"] = {"bits_per_weight": bits} | error_figures(errors)
    return line
