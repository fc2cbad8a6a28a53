"""The report of a conformance run as a table for the terminal, JUnit XML, JSON and Markdown."""

import json
import pathlib
import re
import xml.etree.ElementTree as ET
from collections import Counter

from refq.errors import UsageError
from refq.jobs import golden
from refq.jobs.conform import RAN

NOT_OFFERED = "-"
MOST_FLAGS = 3  # in the summary of a function
CONTROL = re.compile(r"[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # what XML cannot hold


def writer(path):
    """The function that turns a report into the text of this file; by its ending."""
    if not pathlib.Path(path).parent.is_dir():
        raise UsageError(f"--report {path}: there is no such folder")
    writers = {".xml": junit, ".json": to_json, ".md": markdown}
    for ending, write in writers.items():
        if str(path).endswith(ending):
            return write
    raise UsageError(f"--report {path}: the name must end in .xml, .json or .md")


def cell(cases):
    """`passed/total` and the first rule that fails; what was skipped is not in the total."""
    ran = [case for case in cases if case["status"] in RAN]
    missed = [case for case in ran if case["status"] != "passed"]
    missed.sort(key=lambda case: (case["status"], case["refusal"]))  # the unexpected, wrong numbers first
    parts = [f"{len(ran) - len(missed)}/{len(ran)}"] if ran else []
    parts += [f"+{len(cases) - len(ran)} skipped"] if len(cases) > len(ran) else []
    return " ".join(parts + [case["rules"][0] for case in missed[:1]]) or NOT_OFFERED


def long_cell(cases):
    """`cell`, with what is wrong in numbers and refusals, and what was expected to fail."""
    failed = [case for case in cases if case["status"] == "failed"]
    refusals = sum(case["refusal"] for case in failed)
    kinds = ((len(failed) - refusals, "number"), (refusals, "refusal"))
    wrong = ", ".join(f"{count} {kind}{'s' * (count > 1)}" for count, kind in kinds if count)
    expected = sum(case["status"] == "xfailed" for case in cases)
    share, _, rest = cell(cases).partition(" ")
    parts = [share, f"({wrong} wrong)" * bool(wrong), f"+{expected} expected" * bool(expected), rest]
    return " ".join(filter(None, parts))


def rows(report, cell=cell):
    """Operators by implementations, a heading first and the sums last."""
    columns = report["implementations"]
    yield ["operator", *(f"{one['name']} {one['version']}".strip() for one in columns)]
    for function in report["functions"]:
        yield [function, *(cell(_cases(one, function)) for one in columns)]
    yield ["all", *(_sum(one, cell) for one in columns)]


def faults(report):
    """Everything that makes the run fail, a sentence each."""
    for one in report["implementations"]:
        if one["fault"]:
            yield f"{one['name']} cannot run: {one['fault']}"
        elif not any(case["status"] in RAN for case in one["cases"]):
            yield f"{one['name']}: no case ran"
        yield from (f"{one['name']}: {text}" for text in one["stale"])
        for case in one["cases"]:
            if case["status"] == "failed":
                place = f"{one['name']}.{case['function']}, case {case['id']}"
                yield f"{place} ({', '.join(case['rules'])}; {case['comment']}): {case['text']}"


def summaries(report):
    """What the failures of each function have in common, by their flags, and where to read the cases."""
    notes, files = golden.notes(), {}
    for one in report["implementations"]:
        for function in report["functions"]:
            failed = [case for case in _cases(one, function) if case["status"] == "failed"]
            if not failed:
                continue
            files[function] = golden.place(function)
            flags = Counter(flag for case in failed for flag in case["flags"]).most_common(MOST_FLAGS)
            parts = [f"{flag} ({count}): {notes.get(flag, 'no note')}" for flag, count in flags]
            count = f"{len(failed)} case fails" if len(failed) == 1 else f"{len(failed)} cases fail"
            yield "; ".join([f"{one['name']}.{function}: {count}", *parts])
    if files:
        yield f"cases: {files.popitem()[1] if len(files) == 1 else golden.place('<function>')}"


def table(report):
    """For the terminal: who cannot run, the matrix, every other fault, and a summary of the failures."""
    found = list(faults(report))
    cannot = [f"{one['name']} cannot run: {one['fault']}" for one in report["implementations"] if one["fault"]]
    lines = [cannot, _matrix(report), [text for text in found if text not in cannot], list(summaries(report))]
    return "\n\n".join("\n".join(part) for part in lines if part) + "\n"


def to_json(report):
    """The report itself."""
    return json.dumps(report, indent=1, ensure_ascii=False) + "\n"


def junit(report):
    """A suite an implementation, a test case a golden case."""
    root = ET.Element("testsuites", name="refq conform", golden=report["golden"])
    for one in report["implementations"]:
        suite = ET.SubElement(root, "testsuite", name=one["name"])
        for case in one["cases"]:
            test = _test(suite, f"{one['name']}.{case['function']}", case["id"], case["seconds"])
            tag = {"failed": "failure", "skipped": "skipped", "xfailed": "skipped"}.get(case["status"])
            if tag:
                reason = f"expected ({case['reason']}): " if case["reason"] else ""
                ET.SubElement(test, tag, message=_xml(f"{', '.join(case['rules'])}: {reason}{case['text']}"))
        for text in [*one["stale"], *([one["fault"]] if one["fault"] else [])]:
            ET.SubElement(_test(suite, one["name"], "conform", 0), "failure", message=_xml(text))
        statuses = [case["status"] for case in one["cases"]]
        failures = statuses.count("failed") + len(one["stale"]) + bool(one["fault"])
        skipped = statuses.count("skipped") + statuses.count("xfailed")
        suite.attrib |= {"tests": str(len(suite)), "failures": str(failures), "skipped": str(skipped)}
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def markdown(report):
    """The matrix, then a line for each rule that an implementation keeps in its own way."""
    heading, *body = rows(report)
    lines = [f"Golden set {report['golden']}. `{NOT_OFFERED}`: not offered.", ""]
    lines += [_line(heading), _line(["---"] * len(heading)), *map(_line, body)]
    found = list(_differences(report))
    if found:
        lines += ["", "| implementation | operator | rule | cases | what differs |", "|---|---|---|---|---|"]
        lines += map(_line, found)
    return "\n".join(lines) + "\n"


def _differences(report):
    """Rows of the second table: cases that differ for one reason, or failed one by one."""
    for one in report["implementations"]:
        groups = {}
        for case in one["cases"]:
            if case["status"] in ("failed", "xfailed"):
                groups.setdefault(case["reason"] or case["text"], []).append(case)
        for reason, members in groups.items():
            names = ", ".join(dict.fromkeys(case["function"] for case in members))
            rules = list(dict.fromkeys(rule for case in members for rule in case["rules"][:1]))
            yield [one["name"], names, ", ".join(rules[:3]) + ", .." * (len(rules) > 3), str(len(members)), reason]


def _cases(one, function):
    return [case for case in one["cases"] if case["function"] == function]


def _matrix(report):
    """The rows that somebody offers, in columns."""
    heading, *body, total = rows(report, long_cell)
    offered = [line for line in body if set(line[1:]) != {NOT_OFFERED}]
    if not offered:
        return []
    lines = [heading, *offered, total]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ["  ".join(part.ljust(width) for part, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    missing = len(body) - len(offered)
    return text + [f"{missing} operator{'s' * (missing > 1)} not offered"] * bool(missing)


def _sum(one, cell):
    if one["fault"]:
        return "cannot run"
    return cell([case | {"rules": [""]} for case in one["cases"]]).rstrip()


def _test(suite, place, name, seconds):
    return ET.SubElement(suite, "testcase", classname=_xml(place), name=name, time=str(seconds))


def _line(parts):
    return "| " + " | ".join(part.replace("|", "\\|").replace("\n", " ") for part in parts) + " |"


def _xml(text):
    return CONTROL.sub("?", text)
