"""A foreign program that speaks JSON lines (golden/README.md): started, asked, timed, killed and started again."""

import contextlib
import json
import os
import re
import selectors
import shlex
import shutil
import signal
import subprocess
import time
from collections import Counter

from refq.errors import UsageError
from refq.jobs import golden
from refq.jobs.conform import judge, judge_error

PROTOCOL = 1
LINE = 2**20  # bytes of the longest answer
TAIL = 1000  # bytes of stderr that are shown
BREAKS = 3  # so often may the program break within one function
DTYPE = re.compile("bool|u?int(8|16|32|64)|float(16|32|64)")


class Broken(Exception):
    """The program ended, hung, or said something that is no answer."""


class Program:
    """A process that answers start, run and stop: `seconds` a case, `first_seconds` to start and for a first case."""

    def __init__(self, command, seconds=10.0, first_seconds=120.0):
        self._arguments = shlex.split(command)
        if not self._arguments or not shutil.which(self._arguments[0]):
            raise UsageError(f"--command {command!r}: no such program")
        self.name, self.version, self.fault = command, "", None
        self._seconds, self._first_seconds = seconds, first_seconds
        self._operators, self._breaks, self._seq = (), Counter(), 0
        self._process = None

    def __enter__(self):
        try:
            self._start()
        except Broken as reason:
            self.fault = self._kill(reason)
        return self

    def __exit__(self, *_):
        if self._process is None:
            return
        with contextlib.suppress(Broken, subprocess.TimeoutExpired, OSError):
            self._send({"cmd": "stop"})
            self._process.stdin.close()
            self._process.wait(timeout=2)
        self._kill("")

    def offers(self, function):
        """What the answer to start listed."""
        return function in self._operators

    def run(self, function, case):
        """One case: (status, text). A program that breaks is killed, and started again by the next case."""
        if self._breaks[function] >= BREAKS:
            return "failed", f"not run: the program broke {BREAKS} times in {function}"
        try:
            if self._process is None:
                self._start()
            self._seq += 1
            request = {"cmd": "run", "seq": self._seq, "function": function, "args": case["args"]}
            answer = self._ask(request, self._seconds if function in self._warm else self._first_seconds)
            if answer.get("seq") != self._seq:
                raise Broken(f"answered seq {answer.get('seq')!r}; {self._seq} was due")
            self._warm.add(function)
            return _verdict(case, answer)
        except Broken as reason:
            self._breaks[function] += 1
            return "failed", self._kill(reason)

    def _start(self):
        self._process = subprocess.Popen(
            self._arguments, stdin=-1, stdout=-1, stderr=-1, start_new_session=True, bufsize=0
        )
        self._out, self._err, self._warm = b"", b"", set()
        self._selector = selectors.DefaultSelector()
        for stream in (self._process.stdout, self._process.stderr):
            self._selector.register(stream, selectors.EVENT_READ)
        answer = self._ask({"cmd": "start"}, self._first_seconds)
        if answer.get("protocol") != PROTOCOL or not isinstance(answer.get("operators"), list):
            raise Broken(f"answered start with {str(answer)[:80]}; protocol {PROTOCOL} and operators were due")
        self.name = str(answer.get("name", self.name))
        self.version = str(answer.get("version", ""))
        self._operators = answer["operators"]

    def _ask(self, request, limit):
        self._send(request)
        line = self._line(limit)
        try:
            answer = json.loads(line, parse_constant=_refuse)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise Broken(f"wrote {line[:60]!r}, no JSON object; stdout is for answers, one a line")
        return answer

    def _send(self, request):
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
        except OSError as error:
            raise Broken(self._ended()) from error

    def _line(self, limit):
        deadline = time.monotonic() + limit
        while b"\n" not in self._out:
            left = deadline - time.monotonic()
            if left <= 0:
                raise Broken(f"no answer within {limit:g} s")
            if self._read(left):
                raise Broken(self._ended())
            if len(self._out) > LINE:
                raise Broken(f"wrote a line of more than {LINE} bytes")
        line, _, self._out = self._out.partition(b"\n")
        return line

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

    def _kill(self, reason):
        """End the process and its children; the reason, with the tail of stderr."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._selector.get_map() and self._read(0.2)
        self._selector.close()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            stream.close()
        self._process = None
        tail = self._err.decode(errors="replace").strip()
        return f"{reason}; stderr: {tail}" if tail else str(reason)


def value(answer):
    """The result in an answer: JSON form to NumPy, refusing what the form does not allow."""
    if isinstance(answer, list):
        return [value(item) for item in answer]
    if not isinstance(answer, dict):
        return answer
    if "dtype" not in answer:
        return {name: value(item) for name, item in answer.items()}
    if not DTYPE.fullmatch(str(answer["dtype"])):
        raise ValueError(f"dtype {answer['dtype']!r} is unknown")
    numbers = answer.get("data", [])
    whole = "float" not in answer["dtype"]
    if whole and any(isinstance(v, str) or v != int(v) for v in numbers):
        raise ValueError(f"{answer['dtype']} data with something that is no integer")
    return golden.decode(answer)


def _verdict(case, answer):
    if "skipped" in answer:
        return "skipped", str(answer["skipped"])
    if "raises" in answer:
        return judge_error(case, [str(answer["raises"])], str(answer.get("message", "")), foreign=True)
    if "returns" not in answer:
        return "failed", "answered with none of returns, raises and skipped"
    try:
        result = value(answer["returns"])
    except Exception as error:
        return "failed", f"answered with a value that is malformed: {error}"
    return judge(case, result)


def _refuse(name):
    raise ValueError(f"{name} is no JSON")
