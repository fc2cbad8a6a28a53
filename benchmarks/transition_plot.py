"""Transition rates of real training runs, steered and left alone, as pictures.

refq sweep benchmarks/recipes/transition_rate.toml OUT
python -m benchmarks.transition_plot OUT          writes a dated picture (PNG, with matplotlib), and prints figures
"""

import argparse
import csv
import json
import pathlib

import numpy as np

import refq
from benchmarks.dated import dated

MOMENTUM = 0.99  # of the running rate
COLOURS = {"talr": "tab:blue", "cosine": "tab:orange"}


def read(out):
    """(row, columns of its log as float arrays) of every run of a sweep that was trained."""
    out = pathlib.Path(out)
    rows = [json.loads(line) for line in (out / "results.jsonl").read_text(encoding="utf-8").splitlines()]
    return [(row, _log(out / "runs" / row["slug"] / "training.csv")) for row in rows if row["verb"] == "distill"]


def running(rates):
    """The running rate after each step, as a step of training keeps it."""
    kept, now = [], 0.0
    for rate in rates:
        now = refq.running_rate(now, rate, MOMENTUM)
        kept.append(now)
    return np.array(kept)


def targets(row, steps):
    """The target of each step."""
    initial = refq.initial_target(row["settings"]["bits"], row["settings"]["tr_lambda"])
    return np.array([refq.target_rate(initial, step, steps) for step in range(steps)])


def draw(runs, path):
    """Rates above, validation below; a column for each number of bits."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    widths = sorted({row["settings"]["bits"] for row, _ in runs}, reverse=True)
    figure, axes = plt.subplots(2, len(widths), figsize=(5.5 * len(widths), 7), sharex=True, squeeze=False)
    for row, log in runs:
        above, below = axes[:, widths.index(row["settings"]["bits"])]
        schedule, rates = row["settings"]["schedule"], running(log["transition_rate"][1:])
        above.plot(np.maximum(rates, 1e-6), color=COLOURS[schedule], label=f"running rate, {schedule}")
        if schedule == "talr":
            above.plot(targets(row, len(rates)), "k--", linewidth=1, label="target")
        known = ~np.isnan(log["validation_perplexity"])
        known[0] = False  # before training: far above
        points = log["step"][known], log["validation_perplexity"][known]
        below.plot(*points, "o-", markersize=3, color=COLOURS[schedule], label=schedule)
    for bits, (above, below) in zip(widths, axes.T, strict=True):
        above.set(title=f"{bits} bits", yscale="log", ylim=(1e-5, 1), ylabel="share of codes that change a step")
        below.set(xlabel="step", ylabel="validation perplexity")
        for panel in (above, below):
            panel.grid(alpha=0.3)
            panel.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", help="the directory of a finished sweep")
    runs = read(parser.parse_args().out)
    print("bits  schedule  rate / target, 20-50 %  final rate  perplexity")
    for row, log in runs:
        rates, steps = log["transition_rate"][1:], len(log["step"]) - 1
        part = slice(steps // 5, steps // 2)
        ratio = running(rates)[part] / targets(row, steps)[part]
        bits, schedule = row["settings"]["bits"], row["settings"]["schedule"]
        followed = f"{ratio.min():>9.3f} to {ratio.max():<9.3f}"
        final = f"{rates[-steps // 20 :].mean():>10.2e}  {log['validation_perplexity'][-1]:>10.4f}"
        print(f"{bits:>4}  {schedule:<8}  {followed}  {final}")
    path = dated("transition-rate-stories260K.png")
    draw(runs, path)
    print(path)


def _log(path):
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name] or "nan") for row in rows]) for name in rows[0]}


if __name__ == "__main__":
    main()
