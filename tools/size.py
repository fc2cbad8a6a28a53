"""The budgets as a table: python -m tools.size [--over].  Code lines: no blank line, comment or docstring counts."""

import ast
import math
import pathlib
import sys
import tokenize
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUDGETS = {  # function median, p90, max; arguments, of kernels; file
    "refq": (8, 25, 40, 8, 8, 150),
    "refq_fast": (12, 35, 60, 8, 10, 200),
}
SILENT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING}


class Function(NamedTuple):
    """A function or method: where it is, its code lines, its arguments, and its kind: verb, kernel or plain."""

    place: str
    lines: int
    arguments: int
    kind: str


def code_lines(path):
    """Numbers of the lines that hold code."""
    with open(path, "rb") as file:
        tokens = list(tokenize.tokenize(file.readline))
    lines = set()
    for token in tokens[:-1]:  # the last is the end mark
        if token.type not in SILENT:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines.difference_update(range(node.lineno, node.end_lineno + 1))
    return lines


def functions(path):
    """Every function of a file; decorators are not counted, functions inside a function are."""
    lines = code_lines(path)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            own = lines.intersection(range(node.lineno, node.end_lineno + 1))
            names = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
            names += [a.arg for a in (node.args.vararg, node.args.kwarg) if a]
            place = f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
            yield Function(place, len(own), len([n for n in names if n not in ("self", "cls")]), _kind(node))


def measure(package):
    """(functions, {file: code lines}) of a package."""
    files = sorted((ROOT / package).rglob("*.py"))
    return [f for path in files for f in functions(path)], {
        str(path.relative_to(ROOT)): len(code_lines(path)) for path in files
    }


def over(package, found, files):
    """A sentence for everything that exceeds its budget."""
    median, p90, largest, arguments, of_kernels, file_lines = BUDGETS[package]
    lengths = [f.lines for f in found]
    for name, share, limit in (("median", 0.5, median), ("p90", 0.9, p90)):
        if quantile(lengths, share) > limit:
            yield f"{package}: {name} of function lines is {quantile(lengths, share)}; {limit} is the budget"
    for f in found:
        if f.lines > largest:
            yield f"{f.place}: {f.lines} code lines; {largest} is the budget"
        allowed = of_kernels if f.kind == "kernel" else arguments
        if f.arguments > allowed and f.kind != "verb":  # a verb has an argument an option
            yield f"{f.place}: {f.arguments} arguments; {allowed} is the budget"
    for name, lines in files.items():
        if lines > file_lines:
            yield f"{name}: {lines} code lines; {file_lines} is the budget"


def quantile(numbers, share):
    """The smallest number that at least `share` of them do not exceed; 0 of none."""
    ordered = sorted(numbers)
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else 0


def table():
    """Measured and budget, side by side."""
    yield f"{'':<10}{'functions':>10}{'median':>10}{'p90':>10}{'max':>10}{'arguments':>11}{'files':>8}{'largest':>11}"
    for package, budget in BUDGETS.items():
        found, files = measure(package)
        lengths = [f.lines for f in found]
        numbers = (quantile(lengths, 0.5), quantile(lengths, 0.9), max(lengths, default=0))
        cells = [f"{n}/{limit}" for n, limit in zip(numbers, budget, strict=False)]
        most = max((f.arguments for f in found if f.kind == "plain"), default=0)
        parts = f"{len(found):>10}" + "".join(f"{cell:>10}" for cell in cells) + f"{f'{most}/{budget[3]}':>11}"
        yield f"{package:<10}{parts}{len(files):>8}{f'{max(files.values(), default=0)}/{budget[5]}':>11}"


def _kind(node):
    names = {n.id for d in node.decorator_list for n in ast.walk(d) if isinstance(n, ast.Name)}
    if "click" in names:
        return "verb"
    return "kernel" if names & {"parallel", "serial", "summing", "njit", "intrinsic"} else "plain"


def main():
    """Print the table and what exceeds; with --over only the latter."""
    lines = [] if "--over" in sys.argv[1:] else [*table(), ""]
    lines += [text for package in BUDGETS for text in over(package, *measure(package))]
    print("\n".join(lines))


if __name__ == "__main__":
    main()
