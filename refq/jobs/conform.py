"""Conformance: the golden cases on any implementation, and which rule each of them breaks.

An implementation is a context manager with name, version, fault (None, or why nothing can run), offers(function) and
run(function, case) -> (status, text): `Module` here, `refq.jobs.foreign.Program` for other languages.
"""

import importlib
import importlib.util
import os
import sys
import time
import warnings
from typing import NamedTuple

from refq.errors import UsageError
from refq.jobs import golden

RAN = ("passed", "failed", "xfailed")
REFUSALS = "refusals"  # in an xfails file: the cases where an error is due


class Module:
    """A Python module with the names and signatures of SPEC.md; NotImplementedError means a case is skipped."""

    fault = None

    def __init__(self, module):
        self._module = _load(module) if isinstance(module, str) else module
        self.name = getattr(self._module, "NAME", self._module.__name__)
        self.version = str(getattr(self._module, "__version__", ""))
        self._ours = self._module.__name__ in ("refq", "refq_fast")  # only ours must raise our classes

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def offers(self, function):
        """A public callable of that name; with `__all__`, one that is named there."""
        public = getattr(self._module, "__all__", [function])
        return function in public and callable(getattr(self._module, function, None))

    def run(self, function, case):
        """One case: (status, text)."""
        try:
            with warnings.catch_warnings(action="ignore"):
                result = getattr(self._module, function)(**golden.decode(case["args"]))
        except NotImplementedError as reason:
            return "skipped", str(reason)
        except (Exception, SystemExit) as error:
            names = [cls.__name__ for cls in type(error).__mro__]
            return judge_error(case, names, str(error), foreign=not self._ours)
        return judge(case, result)


class Xfail(NamedTuple):
    """A line of an xfails file: the cases of a function that are expected to fail, and why."""

    line: int
    function: str  # or *
    target: str  # a case id, a rule id (has a slash), * or REFUSALS
    reason: str

    def covers(self, function, case):
        """Whether the line speaks of this case."""
        kinds = ("*", case["id"], *case["spec"], REFUSALS if "raises" in case else None)
        return self.function in ("*", function) and self.target in kinds


def judge(case, result):
    """(status, text) of a result."""
    try:
        fault = golden.run(case, lambda **_: result)
    except Exception as error:  # a result of no shape at all, such as a ragged list
        fault = f"gave {type(result).__name__} that cannot be compared: {error}"
    return ("failed", fault) if fault else ("passed", "")


def judge_error(case, names, message, foreign):
    """(status, text) of an error, given the class names of its ancestry; from a foreign one any error counts."""
    accepted = [*names, case.get("raises")] if foreign else names
    fault = golden.judge_error(case, accepted, f"{names[0]}: {message}")
    if fault:
        return "failed", fault
    return "passed", "" if case["raises"] in names else f"raised {names[0]}; {case['raises']} by SPEC"


def read_xfails(path):
    """The lines of an xfails file: `function target  # reason`."""
    lines = []
    with open(path, encoding="utf-8") as file:
        for number, text in enumerate(file, 1):
            words, _, reason = text.partition("#")
            if not words.strip():
                continue
            if len(words.split()) != 2 or not reason.strip():
                raise UsageError(f"{path}, line {number}: not of the form `function case  # reason`")
            lines.append(Xfail(number, *words.split(), reason.strip()))
    return lines


def conform(implementations, only=(), xfails=(), say=lambda text: None):
    """Run the golden cases on each implementation; gives the report, a JSON-ready dict."""
    functions = golden.functions()
    for name in only:
        if name not in functions:
            raise UsageError(f"--only {name}: no golden cases of that name; there are {', '.join(functions)}")
    functions = [name for name in functions if not only or name in only]
    xfails = [line for line in xfails if line.function in (*functions, "*") or line.function not in golden.functions()]
    return {
        "golden": golden.version(),
        "functions": functions,
        "implementations": [_column(one, functions, xfails, say) for one in implementations],
    }


def succeeded(report):
    """Something ran everywhere, and nothing failed that was not expected to."""
    return all(
        not one["fault"]
        and not one["stale"]
        and any(case["status"] in RAN for case in one["cases"])
        and not any(case["status"] == "failed" for case in one["cases"])
        for one in report["implementations"]
    )


def merge(reports):
    """One report of several runs: an implementation seen twice is taken from the last."""
    reports = list(reports)
    columns = {one["name"]: one for report in reports for one in report["implementations"]}
    if len({report["golden"] for report in reports}) != 1:
        raise UsageError("the reports are of different golden sets; run them on the same one")
    functions = sorted({name for report in reports for name in report["functions"]})
    return {"golden": reports[0]["golden"], "functions": functions, "implementations": list(columns.values())}


def _column(implementation, functions, xfails, say):
    cases, used = [], set()
    with implementation:
        for function in [f for f in functions if not implementation.fault and implementation.offers(f)]:
            say(f"{implementation.name}: {function}")
            for case in golden.load(function):
                start = time.monotonic()
                status, text = implementation.run(function, case)
                seconds = round(time.monotonic() - start, 4)
                lines = [line for line in xfails if status == "failed" and line.covers(function, case)]
                used.update(lines)
                record = {"function": function, "id": case["id"], "rules": case["spec"], "refusal": "raises" in case}
                record |= {"flags": case["flags"], "comment": case["comment"]}
                record |= {"status": "xfailed" if lines else status, "text": text, "seconds": seconds}
                cases.append(record | {"reason": lines[0].reason if lines else ""})
    due = [line for line in xfails if line.function != "*" or functions == golden.functions()]
    stale = [] if implementation.fault else [_stale(line) for line in due if line not in used]
    about = {"name": implementation.name, "version": implementation.version, "fault": implementation.fault}
    return about | {"stale": stale, "cases": cases}


def _stale(line):
    place, every = f"xfails line {line.line}", golden.functions()
    if line.function not in (*every, "*"):
        return f"{place}: there is no function {line.function}"
    functions = every if line.function == "*" else [line.function]
    cases = [(function, case) for function in functions for case in golden.load(function)]
    if line.target != REFUSALS and not any(line.covers(*case) for case in cases):
        kind = "case that cites" if "/" in line.target else "case"
        who = "no function has a" if line.function == "*" else f"{line.function} has no"
        return f"{place}: {who} {kind} {line.target}"
    return f"{place}: no case of {line.function} {line.target} fails; remove the line"


def _load(name):
    if os.sep in name or name.endswith(".py"):
        return _load_file(name)
    here = os.getcwd()
    if here not in sys.path:
        sys.path.append(here)  # a module in the working directory is found, but shadows nothing
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise _no_import(name, error) from error


def _load_file(path):
    if not (path.endswith(".py") and os.path.isfile(path)):
        hint = "a module name, such as tinyquant, found from the current folder, or the path of a .py file"
        raise UsageError(f"--module {path}: no such file; --module takes {hint}")
    sys.path.append(os.path.dirname(os.path.abspath(path)))  # for the modules beside it
    spec = importlib.util.spec_from_file_location(os.path.basename(path).removesuffix(".py"), path)
    module = importlib.util.module_from_spec(spec)
    try:
        sys.modules.setdefault(spec.name, module)  # dataclasses look there
        spec.loader.exec_module(module)
    except Exception as error:
        raise _no_import(path, error) from error
    return module


def _no_import(name, error):
    return UsageError(f"--module {name}: cannot be imported ({type(error).__name__}: {error})")
