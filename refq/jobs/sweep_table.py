"""Rows of a sweep as tables: what differs in the seed alone is one line, with its mean and spread."""

import csv
import io
import statistics

from refq.jobs.journal import canonical
from refq.jobs.sweep_run import FINISHED

FIGURES = ("first_loss", "last_loss", "perplexity", "seconds", "restarts", "sha256")


def summarize(rows):
    """Lines of the table, in the order in which the rows first ask for them.

    Parameters
        rows: list of dict, as `perform` gives them.
    Returns
        list of dict: name, verb, settings without the seed; n and failed, numbers of rows; perplexity and each of
        tasks: {mean, min, max, sd} over the n rows, sd None for one row; relative: the mean perplexity above that of
        the teacher, as a fraction, None where one of both is missing; seconds: the mean.
    """
    groups = {}
    for row in rows:
        settings = {key: value for key, value in row["settings"].items() if key != "seed"}
        groups.setdefault(canonical([row["verb"], settings]), (settings, []))[1].append(row)
    lines = [_line(settings, group) for settings, group in groups.values()]
    base = next((line["perplexity"]["mean"] for line in lines if line["verb"] is None and line["n"]), None)
    for line in lines:
        own = line["n"] and line["perplexity"]["mean"]
        line["relative"] = own / base - 1 if own and base else None
    return lines


def spread(values):
    """Mean, ends and sample standard deviation; a value of None is infinite, and so is what it makes so.

    >>> spread([1.0, 2.0, 3.0])
    {'mean': 2.0, 'min': 1.0, 'max': 3.0, 'sd': 1.0}
    >>> spread([1.0, None])
    {'mean': None, 'min': 1.0, 'max': None, 'sd': None}
    """
    finite = [value for value in values if value is not None]
    if not values or len(finite) < len(values):
        return {"mean": None, "min": min(finite, default=None), "max": None, "sd": None}
    sd = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": sum(values) / len(values), "min": min(values), "max": max(values), "sd": sd}


def varied(lines):
    """Names of the settings in which two lines of one verb differ; bits always."""
    found = {}
    for line in lines:
        for key, value in line["settings"].items():
            found.setdefault(key, {}).setdefault(line["verb"], set()).add(canonical(value))
    return [key for key, verbs in found.items() if key == "bits" or any(len(values) > 1 for values in verbs.values())]


def cells(lines):
    """(head, rows) of the table as text; what is missing is "-"."""
    keys, tasks = varied(lines), list(dict.fromkeys(task for line in lines for task in line["tasks"]))
    head = ["run", *keys, "n", "perplexity", "min..max", "sd", "above full precision", *tasks, "s"]
    return head, [_cells(line, keys, tasks) for line in lines]


def markdown(rows, about):
    """README.md of a sweep.

    Parameters
        rows: list of dict.
        about: list of paragraphs.
    """
    lines = summarize(rows)
    head, body = cells(lines)
    text = [f"# {about[0]}", "", *markdown_table(head, body), ""]
    text += ["n runs that differ in the seed alone; mean, min..max and sample standard deviation over them.", ""]
    text += [item for paragraph in about[1:] for item in (paragraph, "")]
    failed = [row for row in rows if row["state"] != FINISHED]
    if failed:
        text += ["## Failed", "", *(f"- `{row['slug']}`: {row['sentence']}" for row in failed), ""]
    text += ["## Commands", "", "In the directory of the recipe:", ""]
    text += ["```sh", *(command for row in rows for command in row["commands"][:1]), "```", ""]
    return "\n".join(text)


def comma_separated(rows):
    """One line a run, every setting and figure a column; what is missing is empty."""
    settings = list(dict.fromkeys(key for row in rows for key in row["settings"]))
    tasks = list(dict.fromkeys(task for row in rows for task in row.get("tasks", ())))
    found = io.StringIO()
    writer = csv.writer(found, lineterminator="\n")
    writer.writerow(["name", "slug", *settings, "state", *FIGURES, *tasks])
    for row in rows:
        accuracies = [row.get("tasks", {}).get(task, {}).get("accuracy") for task in tasks]
        values = [row["settings"].get(key) for key in settings]
        writer.writerow([row["name"], row["slug"], *values, row["state"], *map(row.get, FIGURES), *accuracies])
    return found.getvalue()


def markdown_table(head, rows):
    """Lines of a table in Markdown: the first column to the left, the others to the right."""
    rule = ["---", *("---:" for _ in head[1:])]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in (head, rule, *rows)]


def _line(settings, rows):
    done = [row for row in rows if row["state"] == FINISHED]
    tasks = dict.fromkeys(task for row in done for task in row["tasks"])
    return {
        "name": rows[0]["name"],
        "verb": rows[0]["verb"],
        "settings": settings,
        "n": len(done),
        "failed": len(rows) - len(done),
        "perplexity": spread([row["perplexity"] for row in done]),
        "tasks": {task: spread([row["tasks"][task]["accuracy"] for row in done]) for task in tasks},
        "seconds": sum(row["seconds"] for row in done) / len(done) if done else None,
    }


def _cells(line, keys, tasks):
    found, failed = line["perplexity"], f", {line['failed']} failed" if line["failed"] else ""
    several = line["n"] > 1
    return [
        line["name"],
        *(str(line["settings"].get(key, "-")) for key in keys),
        f"{line['n']}{failed}",
        _number(found["mean"]) if line["n"] else "-",
        f"{_number(found['min'])}..{_number(found['max'])}" if several else "-",
        "-" if found["sd"] is None else _number(found["sd"]),
        "-" if line["relative"] is None else f"{line['relative']:+.2%}",
        *(_accuracy(line["tasks"].get(task)) for task in tasks),
        "-" if line["seconds"] is None else f"{line['seconds']:.0f}",
    ]


def _number(value):
    return "infinite" if value is None else f"{value:.4f}"


def _accuracy(found):
    if found is None:
        return "-"
    return f"{found['mean']:.2%}" + ("" if found["sd"] is None else f" (sd {found['sd']:.2%})")
