"""k-means against affine grids at equal bits per weight, codebooks and scales counted.

python -m benchmarks.codebook_table MODEL TEXT [--tokens N] [--name NAME]

Nothing is written but the table: its rows are those of `refq quantize --compare`. Each affine row stands beside the
best k-means of at most as many bits a weight, whatever the width of its indices.
"""

import argparse
import itertools
import pathlib

import refq_fast
from benchmarks.dated import TODAY, dated
from refq.jobs.plan import Options
from refq.jobs.schemes import compare

WIDTHS = (2, 3, 4)
SIZES = ("channel", 64, 32)
RANGES = ("minmax", "mse")
CODEBOOKS = ("tensor", "channel", 256)


def schemes():
    """Options of all rows."""
    grids = itertools.product(WIDTHS, SIZES, (True, False), RANGES)
    affine = [Options(bits, size, symmetric, rule, "channel") for bits, size, symmetric, rule in grids]
    books = itertools.product((1, *WIDTHS, 5), CODEBOOKS)
    return affine + [Options(bits, size, fallback="channel", method="kmeans_optimal") for bits, size in books]


def lines(rows, chosen):
    """The rows of the table by their bits a weight; of equal ones, as where a group fits nowhere, the first."""
    pairs = sorted(zip(rows, chosen, strict=True), key=lambda pair: pair[0]["bits_per_weight"])
    kmeans = [(row, options) for row, options in pairs if options.method == "kmeans_optimal"]
    seen = set()
    for row, options in pairs:
        figures = (options.method, options.symmetric, options.range, row["bits_per_weight"], row["sqnr_db"])
        if figures in seen:
            continue
        seen.add(figures)
        kind = "symmetric" if options.symmetric else "asymmetric"
        name = "**k-means**" if options.method == "kmeans_optimal" else f"{kind}, {options.range}"
        other = ""
        if options.method == "affine":
            within = [pair for pair in kmeans if pair[0]["bits_per_weight"] <= row["bits_per_weight"]]
            best, its = min(within, key=lambda pair: pair[0]["perplexity"])
            other = f"{best['perplexity']:.6g} ({its.bits} bits a {its.group_size}, {best['bits_per_weight']:.2f})"
        cells = (f"{row['bits_per_weight']:.2f}", f"{options.bits}", f"{options.group_size}", name)
        yield "| " + " | ".join((*cells, f"{row['sqnr_db']:.2f}", f"{row['perplexity']:.6g}", other)) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("text", type=pathlib.Path)
    parser.add_argument("--tokens", type=int)
    parser.add_argument("--name", help="of the model, for the title and the file")
    options = parser.parse_args()
    name, chosen = options.name or options.model.name, schemes()
    whole, *rows = compare(options.model, refq_fast, chosen, options.text, limit=options.tokens)
    scored = f"the first {options.tokens} tokens" if options.tokens else "the whole file"
    head = ("bits a weight", "bits", "a", "grid", "SQNR, dB", "perplexity", "k-means of at most as many bits a weight")
    page = [
        f"# k-means and affine grids: {name} on {options.text.name}, {scored}, {TODAY}",
        "",
        f"Perplexity of the float model: {whole['perplexity']:.6g}. Bits a weight are those of the files: scales have",
        "32 bits, entries of codebooks 16; k-means is kmeans_optimal. Where a group does not divide the inputs,",
        "there is one grid a channel.",
        "",
        "| " + " | ".join(head) + " |",
        "|---:|---:|---|---|---:|---:|---|",
        *lines(rows, chosen),
    ]
    path = dated(f"codebooks-{name}.md")
    path.write_text("\n".join(page) + "\n", encoding="utf-8")
    print("\n".join(page), f"\nwritten: {path}")


if __name__ == "__main__":
    main()
