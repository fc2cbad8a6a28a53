"""One run of a sweep: its commands, each in a process of its own and begun again where it dies, until its row is there.

OUT/runs/owner         the token of the sweep that is at work; processes of another one are ended
OUT/runs/SLUG/lock     held while the run is worked on, also by its processes
OUT/runs/SLUG/log      what its processes said; kept if the run has failed
OUT/runs/SLUG/model/   what was made
OUT/runs/SLUG/row.json the row
"""

import contextlib
import csv
import fcntl
import hashlib
import json
import os
import pathlib
import shutil
import time
from typing import NamedTuple

from refq.errors import FileError
from refq.jobs import output
from refq.jobs.child import POLL, execute, last_words
from refq.jobs.progress import say

RESTARTS = 2
HOPELESS = (2, 3)  # exit codes of usage and of bad input, as a diverging run is: the same would happen again
PAUSE = 1.0  # seconds
SCORES = ("perplexity", "nats_per_token", "kl", "top1_agreement")
FINISHED, FAILED = "finished", "failed"


class Job(NamedTuple):
    """A run to be done, plain enough to be sent to another machine.

    folder: OUT/runs/SLUG.
    token: the sweep in whose name.
    commands: tuples of arguments for `python -m refq`; the model is made, then scored.
    keep: whether the model stays.
    cost: work to be expected, in tokens.
    row: dict: what is known beforehand.
    """

    folder: str
    token: str
    commands: tuple
    keep: bool
    cost: int
    row: dict


class Stopped(Exception):
    """The sweep in whose name a run is done has ended."""


class Failed(Exception):
    """A run cannot be finished; the text is for its row."""


def perform(job):
    """Do a run, or what is left of it; gives its row.

    A process that ends with a signal, or with an exit code that another try may change, is begun again with what is
    there; a process that an earlier sweep left behind is waited for.

    Raises
        Stopped: the sweep has ended meanwhile; the processes are ended too.
        FileError: OUT is not there: another machine that does not share it.
    """
    if not os.path.isdir(os.path.dirname(job.folder)):
        raise FileError(f"{job.folder}: no such place here; all workers need the file system that OUT is on")
    os.makedirs(job.folder, exist_ok=True)
    with _held(job) as lock:
        row = finished_row(job)
        if row is None:
            row = _worked(job, lock)
            output.write_whole(os.path.join(job.folder, "row.json"), json.dumps(row, allow_nan=False) + "\n")
        _tidy(job, row)
    return row


def finished_row(job):
    """The row of a run that is finished, or None."""
    try:
        row = json.loads(pathlib.Path(job.folder, "row.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    made = job.row["verb"] is None or os.path.isdir(_made(job))
    return row | job.row if row["state"] == FINISHED and (made or not job.keep) else None


def failed_row(job, sentence):
    """The row of a run that has none of its own."""
    return job.row | {"state": FAILED, "sentence": sentence}


def _worked(job, lock):
    started, row = time.monotonic(), job.row | {"state": FINISHED, "restarts": 0, "tasks": {}}
    try:
        for arguments in job.commands:
            row |= _figures(job, arguments, _report(job, arguments, lock, row), row["tasks"])
        row["sha256"] = _digest(_made(job) if job.row["verb"] else job.commands[0][1])
    except Failed as failure:
        row |= {"state": FAILED, "sentence": str(failure)}
    return row | {"seconds": round(time.monotonic() - started, 1)}


def _report(job, arguments, lock, row):
    """What a command printed, after as many tries as it may have."""
    while code := execute(job.folder, arguments, lock, lambda: _check(job)):
        sentence = last_words(job.folder, code)
        if code in HOPELESS or row["restarts"] == RESTARTS:
            raise Failed(f"{arguments[0]}: {sentence}")
        row["restarts"] += 1
        _pause(job, PAUSE)  # what ended it may be ending the sweep
        say(f"{os.path.basename(job.folder)}: {arguments[0]}: {sentence}; begun again")
    return json.loads(pathlib.Path(job.folder, "stdout").read_text(encoding="utf-8"))


def _figures(job, arguments, report, tasks):
    verb = arguments[0]
    if verb == "perplexity":
        return {name: report[name] for name in SCORES if name in report}
    if verb == "quantize":
        seconds = report["seconds"] if report["written"] else None  # of a try before this one
        return {"bits_per_weight": report["bits_per_weight"], "quantize_seconds": seconds}
    if verb == "evaluate":
        name = pathlib.Path(arguments[arguments.index("--task") + 1]).stem
        return {"tasks": tasks | {name: {key: report[key] for key in ("accuracy", "stderr", "chance", "items")}}}
    if verb == "distill":
        with open(os.path.join(_made(job), "training.csv"), encoding="utf-8") as file:
            losses = [float(line["loss"]) for line in csv.DictReader(file) if line["loss"]]
        return {"first_loss": losses[0], "last_loss": losses[-1]}
    return {}


@contextlib.contextmanager
def _held(job):
    """The lock of a run; gives its descriptor, which processes inherit."""
    lock, told = os.open(os.path.join(job.folder, "lock"), os.O_RDWR | os.O_CREAT, 0o666), False
    try:
        while not _locked(lock):
            if not told:
                say(f"{os.path.basename(job.folder)}: a process of an earlier sweep is at work on it; waiting for it")
            told = True
            _pause(job, POLL)
        yield lock
    finally:
        os.close(lock)


def _locked(lock):
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _pause(job, seconds):
    time.sleep(seconds)
    _check(job)


def _check(job):
    """Raise Stopped if the sweep has ended."""
    with contextlib.suppress(FileNotFoundError):  # a file system may show a file late
        if pathlib.Path(job.folder).with_name("owner").read_text(encoding="utf-8") != job.token:
            raise Stopped


def _made(job):
    return os.path.join(job.folder, "model")


def _tidy(job, row):
    """Keep the row and the log of the training, of a failed run what was said, too."""
    with contextlib.suppress(FileNotFoundError):
        shutil.copyfile(os.path.join(_made(job), "training.csv"), os.path.join(job.folder, "training.csv"))
    if row["state"] == FINISHED:
        for name in ("log", "stdout", "lock"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(job.folder, name))
        if not job.keep:
            shutil.rmtree(_made(job), ignore_errors=True)


def _digest(directory):
    """sha256 of the weights; of several files, that of their digests."""
    digests = []
    for path in sorted(pathlib.Path(directory).glob("*.safetensors")):
        with open(path, "rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()
