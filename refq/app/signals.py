"""Ctrl-C and SIGTERM end the program in time, also while it is inside a compiled kernel or the compiler."""

import contextlib
import os
import signal
import threading
import time


@contextlib.contextmanager
def end_within(seconds):
    """Make SIGTERM raise SystemExit(143), as Ctrl-C raises KeyboardInterrupt, and enforce both.

    Python runs its signal handlers between two bytecodes only, and LLVM may compile for longer than `seconds` without
    one. The interpreter's C handler writes the signal number into a pipe at once; a thread reads it there, and ends
    the process if it is still alive then. What that leaves behind is what a kill would: a partial directory to resume.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    read, write = os.pipe()
    os.set_blocking(write, False)
    before = signal.signal(signal.SIGTERM, _terminate)
    wakeup = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(read, seconds * 0.7), daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(wakeup)
        signal.signal(signal.SIGTERM, before)
        os.close(write)


def _terminate(number, frame):
    raise SystemExit(128 + number)


def _watch(pipe, grace):
    for number in iter(lambda: os.read(pipe, 1), b""):
        if number[0] in (signal.SIGINT, signal.SIGTERM):
            time.sleep(grace)
            os._exit(128 + number[0])
    os.close(pipe)
