"""The run that writes a directory or a file: finished already, continued, or begun anew; published when done."""

import contextlib
import json
import os
from collections.abc import Callable
from typing import NamedTuple

from refq.errors import CheckpointError, RefqError
from refq.files.checkpoint import open_checkpoint
from refq.jobs import output
from refq.jobs.journal import append, check_same_run, fingerprint, open_journal, read_journal
from refq.jobs.progress import say

_FINISHED = ("state", "blocks")  # in a room, of runs whose journal has no line a tensor yet


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


class Kind(NamedTuple):
    """What OUT is: a directory, or a `file`.

    run_of: OUT -> the record of the run that wrote it; raises KeyError or ValueError where there is none.
    """

    run_of: Callable
    file: bool = False


def directory(open_model=open_checkpoint):
    """The Kind of directories that `open_model` reads: the record stands beside the weights."""
    return Kind(lambda out: json.loads(list(open_model(out).metadata.values())[0]["refq"])["run"])


DIRECTORY = directory()


@contextlib.contextmanager
def opened(paths, record, needed, resume, overwrite, kind=DIRECTORY):
    """The run that writes OUT, which is published at the end; None if OUT is there already, of this very run.

    A RefqError throws away what was done, for it would come again, but never a training that was saved: the fault may
    lie beside it. Whatever else stops a run leaves all to `resume`.

    Parameters
        paths: (MODEL, OUT), what is read and what is written.
        record: what decides the output.
        needed: bytes of disk.
        resume, overwrite: as quantize_model takes them.
        kind: of OUT.
    """
    target = output.check_paths(*paths, resume or overwrite, kind.file)
    with output.claim(target) as room:
        output.check_paths(*paths, resume or overwrite, kind.file)  # claim may have brought OUT back
        if resume and os.path.exists(target) and _is_finished(target, record, overwrite, kind):
            output.discard(room)
            yield None
            return
        with output.disk_errors(target, needed):
            output.check_space(room, target, needed)
            begun = Begun(room, begin(room, record, resume, kind.file))
            try:
                yield begun
            except RefqError:
                if not os.path.exists(os.path.join(room, "state")):
                    output.discard(room)  # the input or the options are at fault: there is nothing to continue
                raise
            output.publish(room, target, overwrite)


def begin(room, record, resume, file=False):
    """Journal lines, by tensor, of the run in `room` that this one continues; {} for a new one, which clears it.

    What a killed run had finished is not cleared without a word. A directory is made there for what will be one.
    """
    path = os.path.join(room, "journal")
    found, done = read_journal(path)
    if resume and found is not None:
        check_same_run(found, record, room, "without --resume it is begun anew")
    else:
        if found is not None and (done or any(os.path.exists(os.path.join(room, name)) for name in _FINISHED)):
            how = "--resume" if fingerprint(found) == fingerprint(record) else "its own options, inputs and --resume"
            say(f"{room}: what a killed run had finished there is discarded; {how} would have continued it")
        output.clear(room)
        done = {}
        with open_journal(path) as journal:
            append(journal, record)
    if not file:
        os.makedirs(os.path.join(room, "model"), exist_ok=True)
    return done


def _is_finished(target, record, overwrite, kind):
    """Whether `target` is what this run would write; refuses another one, unless it will be overwritten."""
    try:
        check_same_run(kind.run_of(target), record, target, "--overwrite replaces it")
    except (KeyError, TypeError, ValueError) as error:
        if overwrite:
            return False
        if isinstance(error, RefqError):
            raise
        raise CheckpointError(f"{target}: it holds no run record of refq; --overwrite replaces it") from None
    return True
