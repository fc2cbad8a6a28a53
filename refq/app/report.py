"""What a verb that writes OUT prints at its end."""

import json
import time

import click

from refq.app.signals import resumable


def report(out, work, text, as_json):
    """Do the work that writes `out`, and print what it did.

    Parameters
        work: function; gives a dict for JSON.
        text: function of that dict with "out" and "seconds"; gives the lines to print.
    """
    started = time.monotonic()
    with resumable(out):
        found = work()
    found |= {"out": out, "seconds": round(time.monotonic() - started, 3)}
    click.echo(json.dumps(found) if as_json else text(found))


def ending(found):
    """The last line of the text."""
    done = f"written in {found['seconds']:.1f} s" if found["written"] else "complete already, nothing written"
    return f"{found['out']}: {done}"
