"""A sweep: many independent runs, and one table of what came out of them.

OUT/sweep.json     what all rows depend on; compare.json where refq compare has made them
OUT/results.jsonl  a line a run, in the order of the recipe; with results.csv and README.md made anew when a run ends
OUT/runs/SLUG/     see refq.jobs.sweep_run
"""

import contextlib
import json
import math
import os
import re
import secrets
import sys
import time

from refq.errors import CheckpointError, UsageError
from refq.jobs import output
from refq.jobs.journal import canonical, check_same_run, fingerprint
from refq.jobs.progress import say
from refq.jobs.sweep_run import FINISHED, finished_row
from refq.jobs.sweep_table import comma_separated, markdown

KINDS = {"sweep": "sweep", "compare": "comparison"}
READABLE = 100  # characters of a slug before its digest


def slug_of(verb, own, settings):
    """The name of a run's directory: what its table sets, and a digest of all settings.

    >>> slug_of("distill", {"bits": 4, "freeze": "o,v"}, {})
    'distill_bits=4_freeze=o,v_44136fa3'
    """
    text = "_".join([verb or "teacher", *(f"{key}={value}" for key, value in own.items())])
    return re.sub(r"[^\w,=.+-]", "-", text)[:READABLE] + "_" + fingerprint(settings)[:8]


def check_out(out, record, resume):
    """Refuse an OUT that is not empty, or that with `resume` belongs to another sweep."""
    path, kind = os.path.join(out, f"{record['command']}.json"), KINDS[record["command"]]
    if os.path.lexists(out) and not os.path.isdir(out):
        raise UsageError(f"OUT {out} is a file; a directory is written")
    if not os.path.isdir(os.path.dirname(os.path.abspath(out))):
        raise UsageError(f"OUT {out}: the directory {os.path.dirname(os.path.abspath(out))} does not exist")
    if not os.path.isdir(out) or not os.listdir(out):
        return
    if not os.path.exists(path):
        raise UsageError(f"OUT {out} is not empty and holds no {kind}; choose another OUT")
    if not resume:
        raise UsageError(f"OUT {out} holds a {kind}; --resume continues it")
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except ValueError:
        raise CheckpointError(f"{path}: it is not the record of a {kind}") from None
    check_same_run(found, record, out, "choose another OUT")


def run_sweep(out, jobs, record, place, write):
    """Do every run that is not finished, and write what came out of all whenever one ends.

    Parameters
        out: directory, checked by `check_out`.
        jobs: list of Job, in the order of the table.
        record: dict: what all rows depend on.
        place: function (jobs, stop) that yields (job, row) as runs end, see refq.jobs.sweep_places.
        write: function of the rows that there are, in the order of `jobs`.
    Returns
        rows: list of dict, in the order of `jobs`.
    """
    with output.claim(out):
        os.makedirs(os.path.join(out, "runs"), exist_ok=True)
        output.write_whole(os.path.join(out, f"{record['command']}.json"), canonical(record) + "\n")
        token = secrets.token_hex(8)
        jobs = [job._replace(token=token) for job in jobs]
        rows = {job.folder: finished_row(job) for job in jobs}
        todo = [job for job in jobs if rows[job.folder] is None]
        _own(out, token)
        if len(todo) < len(jobs):
            say(f"{len(jobs) - len(todo)} of {len(jobs)} runs are finished already")
        with contextlib.closing(place(todo, lambda: _stop(out))) as results, _telling(todo) as tell:
            for job, row in results:
                rows[job.folder] = row
                write([row for row in rows.values() if row])
                tell(job, row)
        _own(out, "")
        write([row for row in rows.values() if row])
    return list(rows.values())


def write_results(out, about, rows):
    """The tables of a sweep in OUT; about: title and paragraphs of README.md."""
    output.write_whole(
        os.path.join(out, "results.jsonl"), "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)
    )
    output.write_whole(os.path.join(out, "results.csv"), comma_separated(rows))
    output.write_whole(os.path.join(out, "README.md"), markdown(rows, about))


def _own(out, token):
    output.write_whole(os.path.join(out, "runs", "owner"), token)


def _stop(out):
    _own(out, "")
    say("what is finished is kept; --resume continues")  # now: waiting for the processes may take all our time


@contextlib.contextmanager
def _telling(jobs):
    """A line for every run that has ended, with the time left; on a terminal a bar below."""
    started, costs = time.monotonic(), {"all": sum(job.cost for job in jobs), "done": 0}

    def line(job, row, number):
        costs["done"] += job.cost
        left = costs["all"] - costs["done"]
        seconds = (time.monotonic() - started) * left / costs["done"] if costs["done"] else math.nan
        text = f"{number} of {len(jobs)}: {row['slug']}: {_outcome(row)}"
        return text if math.isnan(seconds) or not left else f"{text}; {_duration(seconds)} left"

    if not sys.stderr.isatty():
        numbers = iter(range(1, len(jobs) + 1))
        yield lambda job, row: say(line(job, row, next(numbers)))
        return
    from tqdm import tqdm

    with tqdm(total=len(jobs), unit="run", desc="runs", leave=False) as bar:
        yield lambda job, row: (bar.update(), bar.write("refq: " + line(job, row, bar.n), file=sys.stderr))


def _outcome(row):
    if row["state"] != FINISHED:
        return f"failed: {row['sentence']}"
    score = "infinite" if row["perplexity"] is None else f"{row['perplexity']:.4f}"
    return f"perplexity {score}, {_duration(row['seconds'])}"


def _duration(seconds):
    """
    >>> _duration(50), _duration(3000), _duration(30000)
    ('50 s', '50 min', '8.3 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
