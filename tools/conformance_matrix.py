"""Who agrees with whom: the golden cases on our packages and on every peer that is installed.

python -m tools.conformance_matrix run OUT.json [NAME ...]      those that this environment has
python -m tools.conformance_matrix merge OUT.md REPORT.json ... one table of several environments
python -m tools.conformance_matrix confirm REPORT.json ...      MANIFEST.json: how many answers a library gives

A peer is tests/peers/<name>_adapter.py; <name>_xfails.txt beside it says by which rules it differs, and why.
"""

import contextlib
import importlib
import json
import pathlib
import shutil
import sys

from refq.jobs import conform, conform_report
from refq.jobs.foreign import Program

ROOT = pathlib.Path(__file__).resolve().parents[1]
PEERS = ROOT / "tests" / "peers"
OURS = ("refq", "refq_fast", "javascript")
HEADING = """# Who agrees with whom

The golden cases on refq, on an adapter written from README.md alone, and on libraries behind the thin adapters of
`tests/peers`. A cell is passed/total of the cases that could be asked, and the main rule of the first that fails. Where
a library differs it keeps another rule. That is no fault of it, but a model made by one rule and run by the other is
another model.

Made by `python -m tools.conformance_matrix`.

"""


def names():
    """Everything that could be run: ours, the adapter in JavaScript, the peers."""
    return [*OURS, *sorted(path.stem[:-8] for path in PEERS.glob("*_adapter.py"))]


def implementation(name):
    """The implementation of that name; ImportError if this environment does not have it."""
    if name == "javascript":
        if not shutil.which("node"):
            raise ImportError("node is not installed")
        return Program(f"node {PEERS / 'javascript' / 'adapter.mjs'}")
    module = name if name in OURS else f"tests.peers.{name}_adapter"
    return conform.Module(importlib.import_module(module))


def expected(name):
    """The expected failures of that name."""
    path = PEERS / f"{name}_xfails.txt"
    return conform.read_xfails(path) if path.exists() else ()


def run(chosen):
    """The report of everything that is installed."""
    reports = []
    for name in chosen or names():
        try:
            one = implementation(name)
        except ImportError as reason:
            print(f"{name}: not here ({reason})", file=sys.stderr)
        else:
            reports.append(conform.conform([one], xfails=expected(name)))
    return conform.merge(reports)


def confirm(report, manifest):
    """Put into the manifest how many of a function's answers each library gives: {function: {library: "n/m"}}."""
    confirmed = manifest["confirmed"]
    for one in report["implementations"]:
        for function in report["functions"] if one["name"] not in OURS else ():
            answers = [case for case in one["cases"] if case["function"] == function and not case["refusal"]]
            if not answers:
                continue
            given = sum(case["status"] == "passed" for case in answers)
            peers = {
                peer: n for peer, n in confirmed.get(function, {}).items() if not peer.startswith(f"{one['name']}@")
            }
            peers |= {f"{one['name']}@{one['version']}": f"{given}/{len(answers)}"} if given else {}
            confirmed[function] = dict(sorted(peers.items()))
    manifest["confirmed"] = {function: confirmed[function] for function in sorted(confirmed) if confirmed[function]}


def main():
    """`run` prints the table and exits 1 where something differs unexpectedly; `merge` writes the page."""
    verb, *paths = sys.argv[1:]
    if verb == "run":
        report = run(paths[1:])
        pathlib.Path(paths[0]).write_text(conform_report.to_json(report), encoding="utf-8")
        print(conform_report.table(report), end="")
    elif verb == "merge":
        report = conform.merge(map(_read, paths[1:]))
        pathlib.Path(paths[0]).write_text(HEADING + conform_report.markdown(report), encoding="utf-8")
    else:
        report, path = conform.merge(map(_read, paths)), ROOT / "golden" / "MANIFEST.json"
        manifest = _read(path)
        confirm(report, manifest)
        path.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return 0 if conform.succeeded(report) else 1


def _read(path):
    return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main())
