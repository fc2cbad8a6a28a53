"""Write and check the golden files: python -m tools.golden add | fmt | lint | extract.

add FILE      merge an envelope {"function", "cases", "flags"?} (- for standard input). A case with source "oracle"
              and no result gets its result from tools.oracle; a case of source "hand" brings its own. With --replace
              a case of an id that is taken goes to the place of the old one, as long as the set is a draft.
fmt           rewrite every file in canonical form and MANIFEST.json; --check only compares.
lint          schema, ids, rules known to SPEC.md, notes for flags, sizes, and every oracle case computed again.
extract       the Example lines of SPEC.md become the cases of source spec-example.
"""

import argparse
import ast
import hashlib
import json
import pathlib
import re
import sys

from tools import oracle

ROOT = pathlib.Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "golden"
VERSION = "1-draft"
LIMIT = 64  # elements of an array, except in one block of a format


def add(envelope, replace=False):
    """Merge the cases of an envelope into the file of their function; writes nothing if any of them is wrong."""
    function, rules = envelope["function"], spec_rules()
    if replace and "draft" not in VERSION:
        raise SystemExit(f"version {VERSION} is no draft: a case is never replaced; ERRATA.md corrects a wrong answer")
    flags = json.loads((GOLDEN / "FLAGS.json").read_text()) | envelope.get("flags", {})
    path = GOLDEN / "v1" / f"{function}.json"
    cases = {case["id"]: case for case in json.loads(path.read_text())["cases"]} if path.exists() else {}
    fresh = set()
    for case in envelope["cases"]:
        if case["id"] in fresh or (case["id"] in cases and not replace):
            raise SystemExit(f"{function}: case id {case['id']} is taken; --replace overwrites a case")
        for fault in _unknown(case, flags, rules):
            raise SystemExit(f"{function}, case {case['id']}: {fault}")
        fresh.add(case["id"])
        cases[case["id"]] = complete(function, case)
    if envelope.get("flags"):
        (GOLDEN / "FLAGS.json").write_text(json.dumps(flags, indent=2, ensure_ascii=False) + "\n")
    write(function, sorted(cases.values(), key=lambda case: case["source"] == "spec-example"))


def complete(function, case, quick=False):
    """A case with the keys in order, defaults filled in, and the oracle's result where it is due."""
    case = {"flags": [], "since": "1.0"} | case
    if case["source"] == "oracle" and "raises" not in case:
        found = oracle.compute(function, case["args"], quick)
        if found is None:
            rooms = ", ".join(module.__name__.rpartition(".")[2] for module in oracle.modules())
            raise SystemExit(
                f"{function}: no oracle knows it; write {function}(..) in tools/oracle/<room>.py ({rooms})"
            )
        case["returns"], within = found
        case["compare"] = "exact" if within is None else {"within": within}
    if "returns" in case:
        case.setdefault("compare", "exact")
    order = ("id", "spec", "flags", "comment", "source", "since", "requires", "args", "returns", "raises", "compare")
    return {key: case[key] for key in order if key in case}


def write(function, cases):
    """One file in canonical form, and the manifest."""
    (GOLDEN / "v1" / f"{function}.json").write_text(text(function, cases), encoding="utf-8")
    (GOLDEN / "MANIFEST.json").write_text(manifest(), encoding="utf-8")


def text(function, cases):
    """Canonical form: a key of a case a line, its value on that line."""
    blocks = []
    for case in cases:
        lines = [f"   {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in case.items()]
        blocks.append("  {\n" + ",\n".join(lines) + "\n  }")
    return f'{{"function": {json.dumps(function)},\n "cases": [\n' + ",\n".join(blocks) + "\n ]\n}\n"


def manifest():
    """Digest and case ids of every file; who confirmed which cases is kept."""
    path = GOLDEN / "MANIFEST.json"
    old = json.loads(path.read_text()) if path.exists() else {"confirmed": {}}
    files = {}
    for file in sorted((GOLDEN / "v1").glob("*.json")):
        ids = [case["id"] for case in json.loads(file.read_text())["cases"]]
        files[f"v1/{file.name}"] = {"sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "ids": ids}
    return json.dumps({"version": VERSION, "confirmed": old["confirmed"], "files": files}, indent=1) + "\n"


def fmt(check):
    """Names of the files that are not in canonical form; unless check, rewrites them."""
    wrong = []
    for file in sorted((GOLDEN / "v1").glob("*.json")):
        canonical = text(
            file.stem,
            [complete(file.stem, c) if "since" not in c else c for c in json.loads(file.read_text())["cases"]],
        )
        if file.read_text() != canonical:
            wrong.append(file.name)
            if not check:
                file.write_text(canonical)
    if (GOLDEN / "MANIFEST.json").read_text() != manifest():
        wrong.append("MANIFEST.json")
        if not check:
            (GOLDEN / "MANIFEST.json").write_text(manifest())
    return wrong


def lint():
    """Everything that is wrong with the golden files, a sentence each."""
    import jsonschema

    validator = jsonschema.Draft202012Validator(json.loads((GOLDEN / "schema.json").read_text()))
    flags = json.loads((GOLDEN / "FLAGS.json").read_text())
    rules = set(spec_rules())
    faults = [f"{name}: not in canonical form; run python -m tools.golden fmt" for name in fmt(check=True)]
    size = 0
    for file in sorted((GOLDEN / "v1").glob("*.json")):
        size += file.stat().st_size
        document = json.loads(file.read_text())
        faults += [f"{file.name}: {e.json_path}: {e.message[:200]}" for e in validator.iter_errors(document)]
        ids = [case["id"] for case in document["cases"]]
        faults += [f"{file.name}: id {i} twice" for i in {i for i in ids if ids.count(i) > 1}]
        if document["function"] != file.stem:
            faults.append(f"{file.name}: is about {document['function']}")
        for case in document["cases"]:
            faults += [f"{file.name} {case['id']}: {fault}" for fault in _case_faults(file.stem, case, flags, rules)]
    if size > 5_000_000:
        faults.append(f"the golden files have {size} bytes; 5,000,000 are allowed")
    return faults


def spec_rules():
    """Rule ids of SPEC.md, in order, each once."""
    return list(dict.fromkeys(re.findall(r"\[([a-z0-9_]+/[a-z0-9-]+)\]", (ROOT / "SPEC.md").read_text())))


def first_step(function):
    """The first rule that the Steps of a function cite, else the first of its section."""
    section = re.search(rf"^## {function}\n.*?^```$.*?^```$", (ROOT / "SPEC.md").read_text(), re.M | re.S)[0]
    steps = re.search(r"^Steps .*?(?=^[A-Z])", section, re.M | re.S)
    pattern = rf"\[({function}/[a-z0-9-]+)\]"
    return re.findall(pattern, steps[0] if steps and re.search(pattern, steps[0]) else section)[0]


def spec_examples():
    """(function, args, returns) in JSON form, from the Example lines of SPEC.md."""
    found = []
    for block in re.findall(r"^Example +(.+?)(?=^\S|^```)", (ROOT / "SPEC.md").read_text(), re.M | re.S):
        call, _, result = " ".join(block.split()).rpartition(" -> ")
        tree = ast.parse(call, mode="eval").body
        args = {k.arg: _literal(k.value) for k in tree.keywords}
        found.append((tree.func.id, args, _literal(ast.parse(result, mode="eval").body)))
    return found


def extract():
    """Put each example of SPEC.md last into its golden file, so that cases of one mistake are reported before it."""
    for function, args, returns in spec_examples():
        path = GOLDEN / "v1" / f"{function}.json"
        cases = json.loads(path.read_text())["cases"] if path.exists() else []
        cases = [case for case in cases if case["source"] != "spec-example"]
        case = {
            "id": "spec-example",
            "spec": [first_step(function)],
            "flags": ["Block"] if any(n > LIMIT for n in _sizes([args, returns])) else [],
            "comment": "the example of SPEC.md",
            "source": "spec-example",
            "args": args,
            "returns": returns,
        }
        write(function, [*cases, complete(function, case)])


def _unknown(case, flags, rules):
    yield from (f"rule {rule} is not in SPEC.md" for rule in case["spec"] if rule not in rules)
    yield from (
        f"flag {flag} has no note in FLAGS.json; an envelope brings one under its key flags"
        for flag in case.get("flags", [])
        if flag not in flags
    )


def _case_faults(function, case, flags, rules):
    yield from _unknown(case, flags, rules)
    limit = 512 if "Block" in case["flags"] else LIMIT
    yield from (f"an array of {n} elements; at most {limit}" for n in _sizes(case) if n > limit)
    if case["source"] == "oracle" and "returns" in case:
        again = complete(function, {k: v for k, v in case.items() if k not in ("returns", "compare")}, quick=True)
        if again != case:
            yield "the oracle gives another result now"


def _sizes(value):
    if isinstance(value, dict) and "dtype" in value:
        yield len(value.get("data", [])) or len(value.get("hex", "")) // 2
    elif isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _sizes(item)


def _literal(node):
    """A literal in JSON form: decimals float32, integers int32, dtype(..) as it says; tuples and names are lists."""
    if isinstance(node, ast.Tuple):
        return [_literal(item) for item in node.elts]
    if isinstance(node, ast.Dict):
        return {key.value: _literal(value) for key, value in zip(node.keys, node.values, strict=True)}
    dtype = None
    if isinstance(node, ast.Call):
        dtype, node = node.func.id, node.args[0]
    value = ast.literal_eval(node)
    if isinstance(value, list) and any(isinstance(item, str) for item in value):
        return value
    if not isinstance(value, list):
        return value if dtype is None else {"dtype": dtype, "shape": [], "data": [value]}
    shape, flat = [], value
    while flat and isinstance(flat[0], list):
        shape.append(len(flat[0]))
        flat = [item for row in flat for item in row]
    shape.insert(0, len(value))
    dtype = dtype or ("float32" if any(isinstance(v, float) for v in flat) else "int32")
    return oracle.encode(oracle.decode({"dtype": dtype, "shape": shape, "data": flat}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("add", "fmt", "lint", "extract"))
    parser.add_argument("file", nargs="?", default="-")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--replace", action="store_true")
    options = parser.parse_args()
    if options.verb == "add":
        source = sys.stdin.read() if options.file == "-" else pathlib.Path(options.file).read_text()
        loaded = json.loads(source)
        for envelope in loaded if isinstance(loaded, list) else [loaded]:
            add(envelope, options.replace)
        return 0
    if options.verb == "extract":
        extract()
        return 0
    faults = fmt(options.check) if options.verb == "fmt" else lint()
    print("\n".join(faults) or "the golden files are in order")
    return 1 if faults and (options.verb == "lint" or options.check) else 0


if __name__ == "__main__":
    sys.exit(main())
