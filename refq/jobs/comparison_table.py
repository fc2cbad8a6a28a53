"""Rows of a comparison as a table: what differs in the seed alone is one line."""

import csv
import io

from refq.jobs.sweep_run import FINISHED
from refq.jobs.sweep_table import markdown_table, spread

COLUMNS = ("method", "bits", "seed", "state", "bits_per_weight", "perplexity", "nats_per_token", "kl")
COLUMNS += ("top1_agreement", "quantize_seconds", "sha256")
FLOAT = "float"


def summarize(places, rows):
    """Lines of the table.

    Parameters
        places: list of (method, bits), in the order of the table.
        rows: list of dict, as `perform` gives them, with method and bits.
    Returns
        list of dict: method, bits; n and failed, numbers of rows; perplexity, and each of tasks: {mean, min, max, sd}
        over the n rows; perplexities: those of the rows, in their order; kl, bits_per_weight, seconds: means, None
        where they are unknown.
    """
    lines = []
    for method, bits in places:
        found = [row for row in rows if (row["method"], row["bits"]) == (method, bits)]
        done = [row for row in found if row["state"] == FINISHED]
        tasks = dict.fromkeys(task for row in done for task in row["tasks"])
        values = [row["perplexity"] for row in done]
        line = {"method": method, "bits": bits, "n": len(done), "failed": len(found) - len(done)}
        line |= {"perplexity": spread(values), "perplexities": values}
        line |= {"tasks": {task: spread([row["tasks"][task]["accuracy"] for row in done]) for task in tasks}}
        named = (("kl", "kl"), ("bits_per_weight", "bits_per_weight"), ("seconds", "quantize_seconds"))
        lines.append(line | {name: _mean([row.get(figure) for row in done]) for name, figure in named})
    return lines


def cells(lines):
    """(head, rows) of the table as text; what is missing is "-"."""
    tasks, several = list(dict.fromkeys(task for line in lines for task in line["tasks"])), _several(lines)
    head = ["method", "bits", *(["n"] if several else []), "perplexity", *(["min..max"] if several else [])]
    head += ["KL", *tasks, "bits/weight", "s"]
    return head, [_cells(line, tasks, several) for line in lines]


def notes(entries, rows):
    """Sentences below the table: what is not run and why, and what has failed.

    Parameters
        entries: list of refq.jobs.comparison.Entry.
        rows: list of dict.
    """
    reasons = {}
    for entry in entries:
        if entry.reason:
            reasons.setdefault((entry.method, entry.reason), []).append(entry.width)
    text = [f"{method} at {', '.join(widths)}: not run: {reason}" for (method, reason), widths in reasons.items()]
    failed = [row for row in rows if row["state"] != FINISHED]
    return text + [f"{row['name']}: failed: {row['sentence']}" for row in failed]


def markdown(about, lines, remarks, picture, rows):
    """The table as a page.

    Parameters
        about: title, and a paragraph below the table.
        lines: of `summarize`.
        remarks: of `notes`.
        picture: name of a file beside the page, or None.
        rows: list of dict.
    """
    text = [f"# {about[0]}", "", *markdown_table(*cells(lines)), ""]
    text += [*(f"- {remark}" for remark in remarks), ""] if remarks else []
    if _several(lines):
        text += ["n seeds, of calibration windows and of what is drawn: means, and min..max of the perplexity.", ""]
    text += [f"{about[1]} s: the time of quantizing.", ""]
    text += [f"![perplexity of each method]({picture})", ""] if picture else []
    text += [
        "## Commands",
        "",
        "Each model is then scored by `refq perplexity` with `--original`.",
        "",
        "```sh",
        *(command for row in rows for command in row["commands"][:1]),
        "```",
        "",
    ]
    return "\n".join(text)


def comma_separated(rows):
    """One line a run, every figure a column; what is missing is empty."""
    tasks = list(dict.fromkeys(task for row in rows for task in row.get("tasks", ())))
    found = io.StringIO()
    writer = csv.writer(found, lineterminator="\n")
    writer.writerow([*COLUMNS, *tasks])
    for row in rows:
        accuracies = [row.get("tasks", {}).get(task, {}).get("accuracy") for task in tasks]
        writer.writerow([*map(row.get, COLUMNS), *accuracies])
    return found.getvalue()


def number(value):
    """Five digits, and no power of ten below 100,000.

    >>> number(4.79663), number(1552.68), number(None)
    ('4.7966', '1552.7', 'infinite')
    """
    return "infinite" if value is None else f"{value:#.5g}".rstrip(".")


def _several(lines):
    return any(line["n"] > 1 for line in lines)


def _mean(values):
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _cells(line, tasks, several):
    found, failed = line["perplexity"], f", {line['failed']} failed" if line["failed"] else ""
    ends = f"{number(found['min'])}..{number(found['max'])}" if line["n"] > 1 else "-"
    return [
        line["method"],
        line["bits"] or "-",
        *([f"{line['n']}{failed}"] if several else []),
        number(found["mean"]) if line["n"] else "failed" if failed else "-",
        *([ends] if several else []),
        "-" if line["kl"] is None else f"{line['kl']:.4g}",
        *(_accuracy(line["tasks"].get(task)) for task in tasks),
        "-" if line["bits_per_weight"] is None else f"{line['bits_per_weight']:#.4g}",
        "-" if line["seconds"] is None else f"{line['seconds']:.1f}",
    ]


def _accuracy(found):
    if found is None:
        return "-"
    return f"{found['mean']:.2%}" + ("" if found["sd"] is None else f" (sd {found['sd']:.2%})")
