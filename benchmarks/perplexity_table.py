"""Perplexity of a model under every grid and range rule.

python -m benchmarks.perplexity_table MODEL TEXT [--tokens N]

Each row is what a user gets: `refq quantize`, then `refq perplexity` on the directory it wrote. Writes a dated table.
"""

import argparse
import itertools
import json
import pathlib
import subprocess
import sys
import tempfile

from benchmarks.dated import TODAY, dated

GRIDS = (("8", "channel"), ("4", "channel"), ("4", "32"), ("4", "4"), ("3", "channel"), ("3", "4"), ("2", "4"))
RANGES = ("minmax", "percentile", "mse", "sqnr")


def refq(*arguments):
    """Run a command of refq and give its JSON."""
    command = [sys.executable, "-m", "refq", *map(str, arguments), "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def rows(model, text, tokens):
    """(bits, group, grid, range, bits per weight, perplexity) of every combination."""
    limit = ("--tokens", tokens) if tokens else ()
    yield ("32", "", "float", "", 32.0, refq("perplexity", model, "--text", text, *limit)["perplexity"])
    for (bits, group), symmetric, rule in itertools.product(GRIDS, (True, False), RANGES):
        with tempfile.TemporaryDirectory() as folder:
            out = pathlib.Path(folder) / "out"
            grid = "symmetric" if symmetric else "asymmetric"
            options = ("--bits", bits, "--group-size", group, f"--{grid}", "--range", rule, "--fallback", "channel")
            done = refq("quantize", model, out, *options)
            found = refq("perplexity", out, "--text", text, *limit)
            yield bits, group, grid, rule, done["bits_per_weight"], found["perplexity"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("text", type=pathlib.Path)
    parser.add_argument("--tokens", type=int)
    options = parser.parse_args()
    scored = f"the first {options.tokens} tokens" if options.tokens else "the whole file"
    lines = [
        f"# {options.model.name} on {options.text.parent.name}/{options.text.name}, {scored}, {TODAY}",
        "",
        "| bits | group | grid | range | bits per weight | perplexity |",
        "|---:|---:|---|---|---:|---:|",
    ]
    for row in rows(options.model, options.text, options.tokens):
        lines.append("| {} | {} | {} | {} | {:.3f} | {:.4f} |".format(*row))
        print(lines[-1], flush=True)
    path = dated(f"perplexity-{options.model.name}.md")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"written: {path}")


if __name__ == "__main__":
    main()
