"""What refq demo says: a table of models, a picture of gradients, and sentences made of what was measured."""

import math

from refq.app.signal_text import short
from refq.app.table import table
from refq.jobs.progress import size
from refq.jobs.signal import joined

README = """
The small LLaMA that refq brings was quantized (PTQ), and its low-bit copies were trained to behave like it (KD-QAT),
once with nothing frozen and once with the output and value projections frozen at their quantized values (ov-freeze,
arXiv 2403.18159). All were compared on stories that none of them was trained on, and on questions about
combinations that no story has.

- `text/train.txt`, `text/valid.txt`: stories of the small world, to train and to measure on
- `w*-ptq`, `w*-kd-qat`, `w*-ov-freeze`: models in the compressed-tensors format; training.csv in them is the log.
  Embedding and norms stay float16
- `signal-w*.csv`, and `.html` where matplotlib and jinja2 are installed: gradients and states in training

How they were trained:

{settings}
```
{text}
```

To go on:

```sh
{hints}
```
"""
KINDS = {"ptq": "quantized (PTQ)", "kd-qat": "KD-QAT, nothing frozen", "ov-freeze": "KD-QAT, o and v frozen"}
NEAR = 0.05  # of two figures of one run each a smaller relative difference decides nothing
SHADES = ((1.1, " "), (1.25, "░"), (2.0, "▒"), (10.0, "▓"), (math.inf, "█"))  # off by less than this factor


def models(results):
    """A line a model: the file, how well it predicts, how far it is from the original, what it knows."""
    head = ("", "bits", "file", "perplexity", "KL to original", "accuracy")
    return table(head, [_row(row) for row in results])


def picture(gradients):
    """Squared gradient norms over those of full precision: a line a projection, shaded by how far off they are."""
    parts = ("start", "plain", "frozen")
    head = ["", *(f"W{bits} {name}" for bits in gradients for name in ("PTQ", "KD-QAT", "ov-freeze"))]
    first = next(iter(gradients.values()))
    rows = []
    for name in first["projections"]:
        shown = (report["projections"][name][f"{part}_ratio"] for report in gradients.values() for part in parts)
        rows.append([name, *map(_shaded, shown)])
    legend = ", ".join(
        f"{shade} {before:g} to {limit:g}" if limit < math.inf else f"{shade} more"
        for (before, _), (limit, shade) in zip(SHADES, SHADES[1:], strict=False)
    )
    return f"{table(head, rows)}\n1.00 is full precision; off to either side by a factor of {legend}"


def sentences(report):
    """What was measured, a list of paragraphs: two a width."""
    rows = {row["name"]: row for row in report["results"]}
    found = []
    for bits, gradients in report["gradients"].items():
        found.append(_quality(f"W{bits}", rows["original"], [rows[f"w{bits}-{kind}"] for kind in KINDS]))
        found.append(_gradients(f"W{bits}", gradients))
    return found


def _row(row):
    name, _, kind = row["name"].partition("-")
    label = f"{name.upper()} {KINDS[kind]}" if kind else "full precision"
    perplexity = "infinite" if row["perplexity"] is None else f"{row['perplexity']:.4f}"
    error = "" if row["stderr"] is None else f" ± {row['stderr']:.1%}"
    accuracy = f"{row['accuracy']:.1%}{error}"
    return label, row["bits"], size(row["bytes"]), perplexity, f"{row['kl']:.5f}", accuracy


def _shaded(ratio):
    off = max(ratio, 1 / ratio)
    return f"{short(ratio) if off >= 10 else format(ratio, '.2f')} {next(s for limit, s in SHADES if off < limit)}"


def _quality(name, original, students):
    ptq, plain, frozen = (_changes(original, row) for row in students)
    error = 100 * max(row["stderr"] or 0 for row in students)
    kl = [row["kl"] for row in students]
    text = f"{name}: quantizing changes perplexity and accuracy by {ptq} (standard error {error:.1f}). After KD-QAT "
    text += f"with nothing frozen it is {plain}, with o and v frozen {frozen}. By KL to the original training ended "
    text += _compared(kl[1], kl[2])
    return f"{text}, and with neither nearer than quantizing alone." if min(kl[1:]) > kl[0] else f"{text}."


def _gradients(name, report):
    ends, run = ([_mean(report[key][kind]) for kind in ("plain", "frozen")] for key in ("distance", "run"))
    text = f"{name}: the gradients of {joined(report['compared'])} are off full precision by a factor of "
    text += f"{ends[0]:.3f} with nothing frozen and of {ends[1]:.3f} with o and v frozen at the end, of {run[0]:.3f} "
    text += f"and of {run[1]:.3f} over the run: {_compared(*ends)} at the end, {_compared(*run)} over "
    return f"{text}the run."


def _compared(plain, frozen):
    if abs(plain - frozen) <= NEAR * max(plain, frozen):
        return "equally near with both"
    return "nearer with o and v frozen" if frozen < plain else "nearer with nothing frozen"


def _changes(original, row):
    if row["perplexity"] is None or original["perplexity"] is None:
        worse = "infinite"
    else:
        share = row["perplexity"] / original["perplexity"] - 1
        worse = f"{share:+.{2 if abs(share) < 0.1 else 0}%}"
    return f"{worse} and {100 * (row['accuracy'] - original['accuracy']):+.1f} points"


def _mean(values):
    return sum(values) / len(values)
