"""The plot of refq compare: what each method adds to the perplexity, one group a width."""

import io

import numpy as np
from matplotlib import style
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from refq.jobs.comparison_table import number

STYLE = {"svg.hashsalt": "refq", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
STYLE |= {"axes.spines.left": False}
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#222222")  # Okabe and Ito
MARKERS = ("o", "s", "D", "^")  # with each of these the colours begin anew
QUIET = "#666666"
ROW = 0.24  # inches
PERPLEXITY, BITS = 1.1, 1.235  # right ends of the columns of numbers, in widths of the axis


def picture(lines, titles, suffix):
    """The bytes of a .png or .svg.

    Parameters
        lines: of refq.jobs.comparison_table.summarize, the float model first.
        titles: title, and a line below it.
        suffix: "png" or "svg".
    """
    whole, *lines = lines
    base, lines = whole["perplexity"]["mean"] if whole["n"] else None, [line for line in lines if line["n"]]
    groups = {}
    for line in lines:
        groups.setdefault(line["bits"], []).append(line)
    methods = list(dict.fromkeys(line["method"] for line in lines))
    low, high = _reach(lines, base)
    with style.context(["default", STYLE]):  # whatever settings a user has
        rows = len(lines) + 1.2 * max(len(groups), 1)
        figure = Figure((8.5, 1.5 + ROW * rows), layout="constrained")
        figure.suptitle(f"{titles[0]}\n", fontsize=12)
        figure.text(0.5, 1 - 0.4 / figure.get_figheight(), titles[1], ha="center", va="center", size=8, color=QUIET)
        axis = figure.subplots()
        at, names = 0.0, {}
        for bits, group in groups.items():
            axis.text(-0.008, at, bits, transform=axis.get_yaxis_transform(), ha="right", va="center", weight="bold")
            for n, line in enumerate(group, 1):
                _point(axis, at + n, line, (base or 0, low, high), _look(methods.index(line["method"])))
                names[at + n] = line["method"]
            at += len(group) + 1.2
        _dress(axis, names, (low, high, max(at, 1.2)), base)
        data = io.BytesIO()
        figure.savefig(data, format=suffix, dpi=160, metadata={"Date": None} if suffix == "svg" else None)
    return data.getvalue()


def _reach(lines, base):
    """Ends of the axis: all that is added to the perplexity and is above 0, and some room."""
    added = [value - (base or 0) for line in lines for value in line["perplexities"] if value is not None]
    added = [value for value in added if value > 0] or [1.0]
    return min(added) / 1.6, max(max(added) * 1.6, 3 * min(added))


def _look(n):
    return {"color": COLOURS[n % len(COLOURS)], "marker": MARKERS[n // len(COLOURS) % len(MARKERS)]}


def _point(axis, y, line, scale, look):
    """The mean, a bar over all seeds with a tick for each, and what it costs as numbers at the right."""
    base, low, high = scale
    colour, found = look["color"], line["perplexity"]
    seen = [np.clip(high if value is None else value - base, low, high) for value in line["perplexities"]]
    mean = high if found["mean"] is None else np.clip(found["mean"] - base, low, high)
    axis.plot([low, mean], [y, y], color=colour, linewidth=1, alpha=0.35, zorder=1)
    if len(seen) > 1:
        axis.plot([min(seen), max(seen)], [y, y], color=colour, linewidth=2.2, zorder=2)
        axis.plot(seen, [y] * len(seen), "|", color=colour, markersize=8, zorder=2)
    edge = {low: "<", high: ">"}.get(mean, look["marker"])  # beyond the axis
    axis.plot([mean], [y], edge, color=colour, markersize=6.5, clip_on=False, zorder=3)
    place = {"transform": axis.get_yaxis_transform(), "ha": "right", "va": "center_baseline"}
    axis.text(PERPLEXITY, y, number(found["mean"]), **place)
    if line["bits_per_weight"] is not None:
        axis.text(BITS, y, f"{line['bits_per_weight']:#.4g}", color=QUIET, **place)


def _dress(axis, names, ends, base):
    low, high, bottom = ends
    axis.set_xscale("log")
    axis.set_xlim(low, high)
    axis.set_ylim(bottom - 0.6, -0.8)
    axis.set_yticks(list(names), list(names.values()))
    axis.tick_params(axis="y", length=0, pad=6)
    axis.xaxis.set_major_locator(LogLocator(subs=(1,) if high > 300 * low else (1, 2, 5), numticks=20))
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.grid(axis="x", color="#e0e0e0", linewidth=0.8)
    axis.set_axisbelow(True)
    above = "" if base is None else f" above that of the float model ({number(base)})"
    axis.set_xlabel(f"perplexity{above}, logarithmic")
    for x, text in ((PERPLEXITY, "perplexity"), (BITS, "bits/weight")):
        axis.text(x, -0.6, text, transform=axis.get_yaxis_transform(), ha="right", va="center", color=QUIET)
