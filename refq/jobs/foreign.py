"""A foreign program under test: the protocol of golden/README.md over JSON lines, and its answers as verdicts."""

import contextlib
import json
import re
import shlex
import shutil
from collections import Counter

from refq.errors import UsageError
from refq.jobs import golden
from refq.jobs.conform import judge, judge_error
from refq.jobs.process import Broken, LineProcess

PROTOCOL = 1
BREAKS = 3  # so often may the program break within one function
DTYPE = re.compile("bool|u?int(8|16|32|64)|float(16|32|64)")


class Program:
    """An implementation behind a command: `seconds` a case, `first_seconds` to start and for a function's first."""

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

    def __exit__(self, kind, *_):
        if self._process:
            with contextlib.suppress(Broken):
                if kind is None:  # after Ctrl-C there is no time for manners
                    self._process.send(b'{"cmd": "stop"}')
                    self._process.wait(2.0)
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
        self._process, self._warm = LineProcess(self._arguments), set()
        answer = self._ask({"cmd": "start"}, self._first_seconds)
        if answer.get("protocol") != PROTOCOL or not isinstance(answer.get("operators"), list):
            raise Broken(f"answered start with {str(answer)[:80]}; protocol {PROTOCOL} and operators were due")
        self.name, self.version = str(answer.get("name", self.name)), str(answer.get("version", ""))
        self._operators = answer["operators"]

    def _ask(self, request, seconds):
        self._process.send(json.dumps(request).encode())
        line = self._process.line(seconds)
        try:
            answer = json.loads(line, parse_constant=_refuse)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise Broken(f"wrote {line[:60]!r}, no JSON object; stdout is for answers, one a line")
        return answer

    def _kill(self, reason):
        """End the process; gives the reason with the tail of stderr."""
        tail = self._process.kill()
        self._process = None
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
    whole = "float" not in answer["dtype"]
    if whole and any(isinstance(v, str) or v != int(v) for v in answer.get("data", [])):
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
