"""A command of refq in a process of its own; what it printed and what it said are in files."""

import os
import pathlib
import signal
import subprocess
import sys

POLL = 0.2  # seconds
TAIL = 4000  # bytes of a log that are looked at


def execute(folder, arguments, lock, check):
    """Run `python -m refq` to its end, with FOLDER/stdout and, appended to, FOLDER/log.

    Parameters
        folder: directory.
        arguments: of the command.
        lock: a descriptor that the process inherits: it stays locked as long as the process lives.
        check: function that is called now and then; if it raises, the process is ended as by SIGTERM.
    Returns
        code: exit code, negative for a signal.
    """
    # the refq that runs here, wherever it was begun
    here = str(pathlib.Path(__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))}
    with open(os.path.join(folder, "stdout"), "wb") as out, open(os.path.join(folder, "log"), "ab") as log:
        command = [sys.executable, "-m", "refq", *arguments]
        streams = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": log}
        process = subprocess.Popen(command, **streams, pass_fds=(lock,), env=environment)
    try:
        while True:
            try:
                return process.wait(POLL)
            except subprocess.TimeoutExpired:
                check()
    except BaseException:
        process.terminate()  # it keeps what it has finished
        process.wait()
        raise


def last_words(folder, code):
    """Why a process ended: its signal, or the last sentence in its log."""
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    with open(os.path.join(folder, "log"), "rb") as log:
        log.seek(max(0, log.seek(0, os.SEEK_END) - TAIL))
        lines = log.read().decode(errors="replace").split("\n")
    told = [line.removeprefix("refq: ") for line in lines if line.startswith("refq: ")]
    return told[-1] if told else f"ended with exit code {code}"
