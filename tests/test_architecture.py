"""Dependencies point one way: the imports of every file, read with ast."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
ORDER = [
    "errors",
    "checks",
    "grids",
    "ranges",
    "ops",
    "tape",
    "models",
    "solvers",
    "transforms",
    "training",
    "analysis",
]
MATH = {"numpy", "math"}
ALLOWED = {  # what a room outside the math may import beside the standard library
    "world": set(),
    "files": {"numpy", "ml_dtypes", "tokenizers", "onnx"},  # the last: the onnx extra, lazily
    "jobs": {"numpy", "threadpoolctl", "tqdm", "ml_dtypes", "distributed"},  # the last where a sweep has a cluster
    "app": {"numpy", "click", "threadpoolctl", "matplotlib", "jinja2"},  # the last two: the report extra, lazily
}
FILES = sorted([*ROOT.glob("refq/**/*.py"), *ROOT.glob("refq_fast/**/*.py"), *ROOT.glob("tools/**/*.py")])


def imports(path):
    """Modules imported anywhere in a file, absolute."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_arrows_point_down(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    package, room = parts[0], parts[1]
    for module in imports(path):
        top = module.split(".")[0]
        target = module.split(".")[1] if "." in module else None
        if package == "tools":
            assert top not in ("refq", "refq_fast") or parts[:2] != ("tools", "oracle"), f"the oracle imports {module}"
            assert not (parts[:2] == ("tools", "oracle") and top == "numpy"), "the oracle knows no NumPy"
        elif top == "refq_fast":
            assert package == "refq_fast" or parts == ("refq", "app", "engine"), f"{path} names refq_fast"
        elif package == "refq" and top == "refq" and room in ORDER and target:
            assert target in ORDER, f"{path}: {room} imports {target}"
            assert ORDER.index(target) <= ORDER.index(room), f"{path}: {room} imports {target}, which stands above it"
        elif package == "refq" and top == "refq" and room == "files":
            assert target in ("files", "errors", "checks", None), f"{path}: files imports {target}"
        elif package == "refq" and top == "refq" and room == "world":
            assert target in ("world", "errors"), f"{path}: world imports {target}"
        elif package == "refq" and top == "refq" and room == "jobs":
            assert target != "app", f"{path}: jobs imports app"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_third_parties_stay_in_their_rooms(path):
    import sys

    parts = path.relative_to(ROOT).with_suffix("").parts
    if parts[0] == "tools":
        return
    outside = {m.split(".")[0] for m in imports(path)} - set(sys.stdlib_module_names) - {"refq", "refq_fast"}
    if parts[0] == "refq_fast":
        assert outside <= {"numpy", "numba", "llvmlite", "threadpoolctl"}, outside
    elif parts[1] in ALLOWED:
        assert outside <= ALLOWED[parts[1]], outside
    else:
        assert outside <= MATH, outside


def test_this_test_can_fail(tmp_path):
    bad = tmp_path / "x.py"
    bad.write_text("import numpy\nfrom refq.jobs import quantize\n")
    assert list(imports(bad)) == ["numpy", "refq.jobs"]
