"""The page of refq analyze signal: one HTML file that needs nothing beside it."""

import os

import jinja2

from refq.app.signal_plots import plots
from refq.app.signal_text import findings, losses, short
from refq.jobs.signal import joined

TEMPLATE = os.path.join(os.path.dirname(__file__), "signal.html")


def page(signals, report, settings, csv):
    """The page as text.

    Parameters
        signals, report: refq.jobs.signal.Signals, and the figures made of it.
        settings: (title, one line about what was run, where the probe comes from).
        csv: name of the file that has all numbers.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["short"] = short
    with open(TEMPLATE, encoding="utf-8") as file:
        template = environment.from_string(file.read())
    return template.render(
        title=settings[0],
        settings=settings[1],
        source=settings[2],
        freeze=joined(report["freeze"]),
        report=report,
        findings=findings(report),
        losses=losses(report),
        plots=plots(signals, report),
        csv=csv,
    )
