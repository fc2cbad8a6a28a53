"""The run that writes a directory: finished already, continued, or begun anew; and published when it is done."""

import contextlib
import json
import os
from typing import NamedTuple

from refq.errors import CheckpointError, RefqError
from refq.files.checkpoint import open_checkpoint
from refq.jobs import output
from refq.jobs.journal import append, check_same_run, open_journal, read_journal


class Begun(NamedTuple):
    """A run under way.

    room: of its output, see refq.jobs.output.
    done: tensor name -> line of the journal, of what a killed run had finished.
    """

    room: str
    done: dict

    @property
    def model(self):
        """The future OUT."""
        return os.path.join(self.room, "model")


@contextlib.contextmanager
def opened(paths, record, needed, resume, overwrite, open_model=open_checkpoint):
    """The run that writes OUT; None if that is what it would write already. At the end it is published.

    Parameters
        paths: (MODEL, OUT), the directories that are read and written.
        record: what decides the output.
        needed: bytes of disk.
        resume, overwrite: as quantize_model takes them.
        open_model: what reads a directory of this kind.
    """
    target = output.check_paths(*paths, resume or overwrite)
    with output.claim(target) as room:
        output.check_paths(*paths, resume or overwrite)  # claim may have brought OUT back
        if resume and os.path.isdir(target) and _is_finished(target, record, overwrite, open_model):
            output.discard(room)
            yield None
            return
        with output.disk_errors(target, needed):
            output.check_space(room, target, needed)
            yield Begun(room, begin(room, record, resume))
            output.publish(room, target, overwrite)


def begin(room, record, resume):
    """Journal lines, by tensor, of the run in `room` that this one continues; {} for a new one, which clears it."""
    path = os.path.join(room, "journal")
    found, done = read_journal(path) if resume else (None, {})
    if found is None:
        output.clear(room)
        with open_journal(path) as journal:
            append(journal, record)
    else:
        check_same_run(found, record, room, "without --resume it is begun anew")
    os.makedirs(os.path.join(room, "model"), exist_ok=True)
    return done


def _is_finished(target, record, overwrite, open_model):
    """Whether `target` is what this run would write; refuses another one, unless it will be overwritten."""
    try:
        metadata = list(open_model(target).metadata.values())[0]
        check_same_run(json.loads(metadata["refq"])["run"], record, target, "--overwrite replaces it")
    except (KeyError, ValueError) as error:
        if overwrite:
            return False
        if isinstance(error, RefqError):
            raise
        raise CheckpointError(f"{target}: it holds no run record of refq; --overwrite replaces it") from None
    return True
