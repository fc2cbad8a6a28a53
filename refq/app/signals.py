"""Ctrl-C and SIGTERM end the program in time, also while it is inside a compiled kernel or the compiler."""

import _thread
import contextlib
import os
import signal
import sys
import threading
import time

from refq.jobs.output import room_of
from refq.jobs.progress import say


@contextlib.contextmanager
def end_within(seconds):
    """Make SIGTERM raise SystemExit(143), as Ctrl-C raises KeyboardInterrupt, and enforce both.

    Python runs its signal handlers between two bytecodes only, and LLVM may compile for longer than `seconds` without
    one. The interpreter's C handler writes the signal number into a pipe at once; a thread reads it there, and ends
    the process if it is still alive then. What that leaves behind is what a kill would: a partial directory to resume.
    An exception raised where C called Python back (LLVM does) is lost; it is raised again outside, or in place of the
    error that the callback's failure leads to.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    read, write = os.pipe()
    os.set_blocking(write, False)
    before, hook, over = signal.signal(signal.SIGTERM, _terminate), sys.unraisablehook, threading.Event()
    wakeup = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(read, seconds * 0.7, over), daemon=True).start()
    signals = []  # that were lost
    sys.unraisablehook = lambda lost: _raise_again(lost, over, signals) or hook(lost)
    try:
        yield
    except Exception:
        if signals:
            raise signals[0] from None
        raise
    finally:
        over.set()
        sys.unraisablehook = hook
        signal.set_wakeup_fd(wakeup)
        signal.signal(signal.SIGTERM, before)
        os.close(write)


@contextlib.contextmanager
def resumable(out):
    """Say, where a signal ends the run that writes `out`, that it can go on from there."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        if os.path.exists(room_of(out)):
            say("what is finished is kept; --resume continues")
        raise


def _terminate(number, frame):
    raise SystemExit(128 + number)


def _raise_again(lost, over, signals):
    """True if it was the exception of a signal that was lost; it comes back in a moment."""
    number = {KeyboardInterrupt: signal.SIGINT, SystemExit: signal.SIGTERM}.get(lost.exc_type)
    if number is None:
        return False
    signals.append(lost.exc_value)

    def again():
        if not over.wait(0.02):  # by then C has its callback behind it, or we get here once more
            _thread.interrupt_main(number)

    threading.Thread(target=again, daemon=True).start()
    return True


def _watch(pipe, grace, over):
    for number in iter(lambda: os.read(pipe, 1), b""):
        if number[0] in (signal.SIGINT, signal.SIGTERM):
            time.sleep(grace)
            if number[0] == signal.SIGINT and not over.is_set():  # main did not get to say it
                os.write(2, b"refq: interrupted\n")
            os._exit(128 + number[0])
    os.close(pipe)
