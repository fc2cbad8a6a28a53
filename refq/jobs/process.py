"""A child process that is talked to line by line, with a time limit for each answer and the tail of its stderr."""

import contextlib
import os
import selectors
import signal
import subprocess
import time

LINE = 2**20  # bytes of the longest line it may write
TAIL = 1000  # bytes of stderr that are kept


class Broken(Exception):
    """The process ended, hung, or wrote what it must not write."""


class LineProcess:
    """A running program, in a session of its own so that its children end with it."""

    def __init__(self, arguments):
        self._process = subprocess.Popen(arguments, stdin=-1, stdout=-1, stderr=-1, start_new_session=True, bufsize=0)
        self._out, self._err = b"", b""
        self._selector = selectors.DefaultSelector()
        for stream in (self._process.stdout, self._process.stderr):
            self._selector.register(stream, selectors.EVENT_READ)

    def send(self, line):
        """Write a line; it must fit into a pipe (64 KB), or a program that does not read would block us."""
        try:
            self._process.stdin.write(line + b"\n")
        except OSError as error:
            raise Broken(self._ended()) from error

    def line(self, seconds):
        """The next line of stdout, without its end."""
        deadline = time.monotonic() + seconds
        while b"\n" not in self._out:
            left = deadline - time.monotonic()
            if left <= 0:
                raise Broken(f"no answer within {seconds:g} s")
            if self._read(left):
                raise Broken(self._ended())
            if len(self._out) > LINE:
                raise Broken(f"wrote a line of more than {LINE} bytes")
        line, _, self._out = self._out.partition(b"\n")
        return line

    def wait(self, seconds):
        """Close stdin and give the program time to end by itself."""
        with contextlib.suppress(subprocess.TimeoutExpired, OSError):
            self._process.stdin.close()
            self._process.wait(timeout=seconds)

    def kill(self):
        """End the process and its children; gives the tail of stderr."""
        with contextlib.suppress(ProcessLookupError, PermissionError):  # it has ended, or was never ours to end
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._selector.get_map():
            self._read(0.2)
        self._selector.close()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            stream.close()
        return self._err.decode(errors="replace").strip()

    def _read(self, seconds):
        """Take what stdout and stderr have; true when stdout has ended."""
        ended = False
        for key, _ in self._selector.select(seconds):
            chunk = os.read(key.fd, 65536)
            if not chunk:
                self._selector.unregister(key.fileobj)
            if key.fileobj is self._process.stdout:
                self._out += chunk
                ended = not chunk
            else:
                self._err = (self._err + chunk)[-TAIL:]
        return ended

    def _ended(self):
        try:
            code = self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return "closed its output"
        return f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
