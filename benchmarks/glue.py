"""Quantize, then fine-tune: SST-2 and STS-B, BERT and the form with one layer for all, k-means against linear.

python -m benchmarks.glue OUT DATA [--minilm FOLDER] [--runs N] [--tasks sst2 stsb] [--threads N]

The pipeline of 2010.07109 (recalled, unverified), on all-MiniLM-L6-v2: the float model is fine-tuned on the task, then
quantized with one codebook a tensor, then fine-tuned again with its indices fixed. Every run has a directory in OUT,
and a row.json in it once it is done: the same command again goes on where a killed one stopped, and --runs N stops
after N more. The table is made of all rows there are.
"""

import argparse
import itertools
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

from benchmarks.dated import TODAY, dated
from benchmarks.minilm import PACKAGE, minilm
from benchmarks.report import COLOURS, plotted

TASKS = {"sst2": "validation_accuracy", "stsb": "validation_spearman"}
FORMS, SCHEMES = ("bert", "shared"), ("kmeans", "linear_mean")
SEEDS = {1: (0,), 2: (0, 1, 2), 3: (0, 1, 2), 4: (0, 1, 2), 5: (0,)}  # by bits
SETTINGS = ("--items", "2000", "--tokens", "32", "--epochs", "2")
# average drop over eight tasks of GLUE, in per cent: only recalled, unverified
PAPER = {1: (28.6, 38.8), 2: (3.94, 34.7), 3: (0.9, 27.6), 4: (0.3, 17.1), 5: (-0.2, 4.8)}


class Run(NamedTuple):
    """One fine-tuning; of the float model where bits is None."""

    task: str
    form: str
    seed: int
    bits: int | None = None
    scheme: str | None = None

    @property
    def name(self):
        kind = "float" if self.bits is None else f"{self.scheme}-{self.bits}"
        return f"{self.task}-{self.form}-{self.seed}-{kind}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--minilm", default=pathlib.Path(tempfile.gettempdir()) / "refq-minilm")
    parser.add_argument("--runs", type=int, help="stop after so many runs")
    parser.add_argument(
        "--tasks", nargs="+", default=list(TASKS), choices=list(TASKS), help="of several at a time, each its own"
    )
    parser.add_argument("--threads")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    model, begun = minilm(options.minilm), time.monotonic()
    todo = [run for run in runs() if run.task in options.tasks and not row_of(options.out, run)]
    for number, run in enumerate(todo[: options.runs], 1):
        row = carried_out(options, run, model)
        mean = (time.monotonic() - begun) / number
        left = mean * (len(todo) - number) / 3600
        print(f"{run.name}: {row['before']} before, {row['after']} after; {len(todo) - number} runs left, {left:.1f} h")
    rows = {run: row_of(options.out, run) for run in runs()}
    text = table({run: row for run, row in rows.items() if row})
    print(text)
    if all(rows.values()):
        path = dated("glue-minilm.md")
        path.write_text(text)
        plotted(path.with_suffix(".png"), lambda: picture(rows))


def runs():
    """All of them, the float model of each before what is made of it."""
    for task, form, seed in itertools.product(TASKS, FORMS, (0, 1, 2)):
        yield Run(task, form, seed)
        for bits, scheme in itertools.product(SEEDS, SCHEMES):
            if seed in SEEDS[bits]:
                yield Run(task, form, seed, bits, scheme)


def row_of(out, run):
    """What a run has found, or None."""
    path = out / run.name / "row.json"
    return json.loads(path.read_text()) if path.exists() else None


def carried_out(options, run, model):
    """Do a run, or finish it."""
    place, begun = options.out / run.name, time.monotonic()
    place.mkdir(exist_ok=True)
    sets = [str(options.data / "glue" / run.task / f"{part}.jsonl") for part in ("train", "dev")]
    more = ("--share-layers",) if run.form == "shared" else ()
    if run.bits is not None:
        model = options.out / Run(run.task, run.form, run.seed).name / "model"
        more = ("--bits", str(run.bits), "--scheme", run.scheme)
    more += ("--threads", options.threads) if options.threads else ()
    command = [sys.executable, "-m", "refq", "finetune", str(model), str(place / "model"), "--task", sets[0], "--val"]
    command += [sets[1], *SETTINGS, *more, "--seed", str(run.seed), "--resume", "--json"]
    report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    history = (place / "model" / "training.csv").read_text().splitlines()
    before, after = (float(line.split(",")[-1] or 0) for line in (history[1], history[-1]))  # undefined: no correlation
    row = run._asdict() | {"before": before, "after": after, "figure": TASKS[run.task]}
    row |= {"seconds": round(time.monotonic() - begun, 1), "written": report["written"]}
    if run.bits is not None:
        shutil.rmtree(place / "model")  # the row is all that is asked for
    (place / "row.json").write_text(json.dumps(row) + "\n")
    return row


def table(rows):
    """Mean drops beside those of the paper, then every row."""
    lines = [HEADING.format(PACKAGE, sum(row["seconds"] for row in rows.values()) / 3600, len(rows))]
    for bits, (form, scheme) in itertools.product(SEEDS, itertools.product(FORMS, SCHEMES)):
        cells = [_drop(rows, bits, form, scheme, (task,)) for task in TASKS]
        paper = f"{PAPER[bits][SCHEMES.index(scheme)]}" if form == "bert" else ""
        lines.append(
            f"| {bits} | {form} | {scheme} | {' | '.join(cells)} | {_drop(rows, bits, form, scheme)} | {paper} |"
        )
    lines += [
        "",
        "| task | form | seed | bits | scheme | before fine-tuning | after |",
        "|---|---|---:|---:|---|---:|---:|",
    ]
    for run, row in rows.items():
        kind = ("32", "float") if run.bits is None else (str(run.bits), run.scheme)
        cells = (run.task, run.form, str(run.seed), *kind, f"{row['before']:.4f}", f"{row['after']:.4f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def picture(rows):
    """Points lost by bits, each form and task; runs are dots, lines their means."""
    from matplotlib.figure import Figure

    figure = Figure((8.5, 6), layout="constrained")
    figure.suptitle("all-MiniLM-L6-v2 quantized, then fine-tuned: points below its float model", fontsize=12)
    axes = figure.subplots(len(TASKS), len(FORMS), sharex=True, sharey="row")
    for (task, form), axis in zip(itertools.product(TASKS, FORMS), axes.flat, strict=True):
        for colour, scheme in zip(COLOURS, SCHEMES, strict=False):
            found = {bits: drops(rows, bits, form, scheme, (task,)) for bits in SEEDS}
            axis.plot(list(found), [statistics.mean(each) for each in found.values()], color=colour, label=scheme)
            for bits, each in found.items():
                axis.plot([bits] * len(each), each, "o", color=colour, markersize=3)
        axis.axhline(0, color="#666666", linewidth=0.8)
        axis.set_title(f"{task.upper()}, {'BERT' if form == 'bert' else 'one layer for all'}", fontsize=9)
        axis.grid(axis="y", color="#e0e0e0", linewidth=0.8)
    for axis in axes[:, 0]:
        axis.set_ylabel("points lost")
        axis.invert_yaxis()
    for axis in axes[-1]:
        axis.set(xlabel="bits", xticks=list(SEEDS))
    axes[0, 0].legend(frameon=False)
    return figure


def _drop(rows, bits, form, scheme, tasks=tuple(TASKS)):
    found = drops(rows, bits, form, scheme, tasks)
    if not found:
        return ""
    spread = f" ({min(found):.1f} to {max(found):.1f})" if len(found) > 1 else ""
    return f"{statistics.mean(found):.2f}{spread}"


def drops(rows, bits, form, scheme, tasks):
    """How far each run ends below the float model of the same seed, in points."""
    found = []
    for run, row in rows.items():
        whole = rows.get(Run(run.task, form, run.seed))
        if (run.form, run.bits, run.scheme) == (form, bits, scheme) and run.task in tasks and whole:
            found.append(100 * (whole["after"] - row["after"]))
    return found


HEADING = f"""# Quantize, then fine-tune: all-MiniLM-L6-v2 on SST-2 and STS-B, {TODAY}

{{}}. Each float model is fine-tuned on 2,000 items, 32 tokens, 2 epochs; quantized, one codebook a tensor, embeddings
among them, the classifier not; and fine-tuned in the same way with its indices fixed. shared: its last layer serves for
all. Drops below the float model of the same seed, in points (SST-2 accuracy, STS-B Spearman, dev sets), mean and range
over three seeds at 2, 3 and 4 bits, one at 1 and 5. {{:.1f}} hours for {{}} runs. The paper's: average drop over eight
tasks of GLUE with BERT-base, in per cent, recalled and unverified; of its ALBERT only that it suffers more is known.

| bits | form | scheme | SST-2 | STS-B | mean | paper |
|---:|---|---|---:|---:|---:|---:|"""


if __name__ == "__main__":
    main()
