"""The dated table of exports, and its JSON."""

import json

import refq
from benchmarks.dated import MACHINE, TODAY, dated
from benchmarks.exports_cases import CASES

HEAD = ("program", "layer", "model", "grids", "weights equal", "perplexity", "program's", "largest", "rms")


def leave(rows, versions, exports, tokens):
    """Write results/DATE-exports.json and .md."""
    ends = [{key: each[key] for key in ("refused", "back", "said")} for each in exports]
    ends = [each["case"]._asdict() | {"grid": each["case"].grid} | end for each, end in zip(exports, ends, strict=True)]
    found = {"title": "Exports", "date": TODAY, "machine": MACHINE, "tokens": tokens}
    found |= {"versions": {"refq": refq.__version__} | versions, "exports": ends, "loads": rows}
    path = dated("exports")
    path.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(told(found), encoding="utf-8")
    print(told(found))


def told(found):
    """The table as Markdown."""
    rows, ends = found["loads"], found["exports"]
    return "\n".join([*_heading(found), *_loads(rows), *_limits(rows), *_returns(ends), *_refusals(ends)]) + "\n"


def _heading(found):
    loaded = [row for row in found["loads"] if "error" not in row]
    equal, tensors, codes = (sum(row[key] for row in loaded) for key in ("equal", "tensors", "codes"))
    yield from (f"# Exports in the programs that they are for, {found['date']}", "")
    yield from (f"{found['machine']['processor']}; refq {refq.__version__}. Every program computes on the CPU:", "")
    for program, packages in found["versions"].items():
        if isinstance(packages, dict):
            yield f"- {program}: " + ", ".join(f"{name} {version}" for name, version in packages.items())
        elif program != "refq":
            yield f"- {program} is missing: {packages}"
    exact = sum(row["equal"] for row in loaded if row["compared_as"] == ["float32"])
    worst, reach = (max(abs(row[key]) for row in loaded) for key in ("difference", "largest_logit"))
    yield from ("", f"{len(loaded)} of {len(found['loads'])} loads succeed, each of a whole directory or file.")
    yield f"Of their {tensors:,} quantized tensors ({codes:,} weights) {equal:,} are equal bit for bit,"
    yield f"{exact:,} of them in float32, the others in float16; no perplexity differs by more than {worst:.3%}."
    yield from (f"Outside the bounds below: {sum(row['wrong'] for row in found['loads'])} loads.", "")
    yield from (*NOTES.format(found["tokens"], reach).splitlines(), "")


NOTES = """"Weights equal": what the program itself multiplies by (what its layer gives for the identity; of
llama.cpp what it writes as F32) beside refq's weights in float32, or where the layer has float16 beside these rounded
once to it. Perplexity: refq's on the same {} tokens in windows of 256, and by how much the program's is above; bound
0.1 %. "largest" and "rms": how far logits are apart, which reach {:.0f}. llama.cpp rounds the inputs of layers of
blocks to 8 bits: behind its rms stands how far refq's own logits move when it does that too (the bound is 1.5 times as
far, instead of that of perplexity), and the median distance that is then left. GPTQModel loads in float16 alone;
"float32" is the same model after `.float()`; the layers of AWQ insist on float16 weights, so that these are compared as
its own `dequantize_gemm` gives them, and logits as the model does. "optimum" is transformers with GPTQModel in it."""


def _loads(rows):
    for to in dict.fromkeys(case.to for case in CASES):
        chosen = [row for row in rows if row["to"] == to and "error" not in row]
        if chosen:
            yield from (f"## --to {to}", "", f"| {' | '.join(HEAD)} |", "|---|---|---|---|" + "---:|" * 5)
            yield from (f"| {' | '.join(_cells(row))} |" for row in chosen)
            yield ""


def _cells(row):
    how = row["how"] if row["asked"] == "float32" or "float16" in row["how"] else f"{row['how']}, {row['asked']}"
    grid = f"{row['type']}: {row['grid']}" if row["type"] else row["grid"]
    weights = f"{row['equal']} of {row['tensors']}" if row["tensors"] else "-"
    rms = f"{row['rms']:.1e}" + (f" ({row['rounding']:.1e}; {row['rounded_alike']:.0e})" if "rounding" in row else "")
    mark = " **differs**" if row["wrong"] else ""
    yield from (row["program"], how, row["model"], grid, weights, f"{row['perplexity']:.4f}")
    yield from (f"{row['difference']:+.4%}{mark}", f"{row['largest']:.1e}", rms)


def _limits(rows):
    failed = {tuple(row[key] for key in ("program", "to", "model", "grid")): row for row in rows if "error" in row}
    if failed:
        yield from ("## What a program does not load", "", "| program | file | model | grids | why | it says |")
        yield "|---|---|---|---|---|---|"
    for row in failed.values():
        said = " ".join(row["error"].split()).replace("|", "/")[:160]
        cells = (row["program"], row["to"], row["model"], row["grid"], row["limit"] or "**unknown**", said)
        yield f"| {' | '.join(cells)} |"
    yield ""


def _returns(ends):
    back = [one for one in ends if one["back"] is not None]
    yield from (
        "## There and back",
        "",
        "`refq export`, then `refq import`: codes, scales and zero points are the same in",
    )
    yield f"{sum(one['back'] for one in back)} of {len(back)} exports."
    yield from (f"- not those of {one['to']}: {one['model']}, {one['grid']}" for one in back if not one["back"])


def _refusals(ends):
    yield from ("", "## What `refq export` refuses", "")
    for one in ends:
        if one["refused"]:
            why = one["refused"].partition(": layer ")[2].partition("; --requantize")[0].partition("; or --req")[0]
            yield f"- {one['to']}{' ' + one['kind'] if one['kind'] else ''}: {one['model']}, {one['grid']}: {why}"
