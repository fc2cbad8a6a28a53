"""What a comparison leaves in results/: a dated JSON with every sample, a table and a plot.

A ratio is the median of the pairwise ratios of interleaved rounds, with quartiles. One thread is process CPU time,
several are wall time. Plots need matplotlib; without it a line says so.
"""

import importlib.metadata
import importlib.util
import json
import statistics
from typing import NamedTuple

import refq
from benchmarks.dated import MACHINE, PROCESSOR, TODAY, timed
from benchmarks.measure import ratio

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#222222")  # Okabe and Ito
HEAD = ("work", "threads", "peer", "refq", "peer's", "times faster (quartiles)", "goal", "of the limit", "peer's")


class Comparison(NamedTuple):
    """One piece of work done by refq and by a peer."""

    work: str
    threads: int
    peer: str  # its name in `versions` of `leave`
    ours: list  # seconds of each round
    theirs: list  # of the same rounds
    amount: float  # of one round, in units
    unit: str  # "tokens", "GB"
    goal: float | None = None  # times faster
    limit: float | None = None  # units a second that the machine allows, with so many threads


def leave(name, title, notes, comparisons, packages):
    """Write results/DATE-name.json, .md and .png, and print the table.

    Parameters
        name: of the files.
        title: one line, what is compared.
        notes: lines below it: sizes, settings, what the limit is.
        comparisons: list of Comparison.
        packages: names of distributions whose versions are told, peers first.
    """
    versions = {package: importlib.metadata.version(package) for package in (*packages, "numpy", "numba")}
    versions["refq"] = refq.__version__
    path = timed(name)
    rows = [each._asdict() | {"times_faster": ratio(each.ours, each.theirs)} for each in comparisons]
    found = {"title": title, "date": TODAY, "machine": MACHINE, "versions": versions, "notes": notes, "rows": rows}
    path.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    table = _table(comparisons)
    told = ", ".join(f"{package} {version}" for package, version in versions.items())
    lines = [f"# {title}, {TODAY}", "", f"{PROCESSOR}; {told}.", *notes]
    lines += ["One thread: process CPU time; more: wall time. Above 1 refq is faster.", ""]
    path.with_suffix(".md").write_text("\n".join([*lines, *table]) + "\n", encoding="utf-8")
    print("\n".join(table))
    plotted(path.with_suffix(".png"), lambda: _ratios(title, comparisons))


def plotted(path, draw):
    """Write the figure that `draw` gives, where matplotlib is installed."""
    if importlib.util.find_spec("matplotlib") is None:
        print(f"{path.name} is not drawn: matplotlib is not installed")
        return
    from matplotlib import style

    with style.context(["default", {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}]):
        draw().savefig(path, dpi=160)
    print(f"{path.parent.name}/{path.name}")


def growth(title, axes, sizes, panels):
    """A figure of speed over size, both logarithmic, with the limits of the machine drawn in.

    Parameters
        title: one line.
        axes: labels of size and speed.
        sizes: label -> size, what is told below.
        panels: heading -> (curves, roofs), side by side; of both label -> speeds; roofs are the limits.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    figure = Figure((2 + 5 * len(panels), 4.8), layout="constrained")
    figure.suptitle(title, fontsize=12)
    row = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axis, (heading, (curves, roofs)) in zip(row, panels.items(), strict=True):
        for mark, (label, speeds) in zip(("--", ":", "-.") * 9, roofs.items(), strict=False):
            axis.plot(sizes.values(), speeds, mark, color="#222222", label=label, linewidth=1)
        for colour, (label, speeds) in zip(COLOURS * 9, curves.items(), strict=False):
            axis.plot(sizes.values(), speeds, "o-", color=colour, label=label, markersize=4)
        axis.set(xscale="log", yscale="log", xlabel=axes[0], title=heading)
        axis.set_xticks([*sizes.values()], [*sizes])
        axis.minorticks_off()
        axis.yaxis.set_major_formatter(EngFormatter(places=0, sep=""))
        axis.set_axisbelow(True)
        axis.grid(color="#e0e0e0", linewidth=0.8)
        axis.legend(frameon=False)
    row[0].set_ylabel(axes[1])
    return figure


def _table(comparisons):
    shown = [column for column, used in zip(HEAD, _used(comparisons), strict=True) if used]
    lines = [f"| {' | '.join(shown)} |", "|---|" + "---:|" * (len(shown) - 1)]
    for each in comparisons:
        middle, low, high = ratio(each.ours, each.theirs)
        speeds = [each.amount / statistics.median(seconds) for seconds in (each.ours, each.theirs)]
        cells = [each.work, str(each.threads), each.peer, *(f"{speed:.4g} {each.unit}/s" for speed in speeds)]
        cells += [f"{middle:.2f} ({low:.2f} to {high:.2f})", f"{each.goal:g}" if each.goal else ""]
        cells += [f"{speed / each.limit:.0%}" if each.limit else "" for speed in speeds]
        cells = [cell for cell, used in zip(cells, _used(comparisons), strict=True) if used]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _used(comparisons):
    goals, limits = (any(getattr(each, field) for each in comparisons) for field in ("goal", "limit"))
    return [True] * 6 + [goals, limits, limits]


def _ratios(title, comparisons):
    """A line a work: how many times faster, with quartiles and the goal; beside it the shares of the limit."""
    from matplotlib.figure import Figure

    limits, peers = any(each.limit for each in comparisons), {each.peer for each in comparisons}
    names = [each.work if len(peers) == 1 else f"{each.work}, {each.peer}" for each in comparisons]
    lines = {name: line for line, name in enumerate(dict.fromkeys(names))}
    figure = Figure((9.5 if limits else 7.5, 1.6 + 0.27 * len(lines)), layout="constrained")
    figure.suptitle(title, fontsize=12)
    axes = figure.subplots(1, 1 + limits, squeeze=False, sharey=True, width_ratios=[2, 1][: 1 + limits])[0]
    threads = sorted({each.threads for each in comparisons})
    for name, each in zip(names, comparisons, strict=True):
        middle, low, high = ratio(each.ours, each.theirs)
        nth = threads.index(each.threads)
        colour, y = COLOURS[nth], lines[name] + 0.3 * (nth - (len(threads) - 1) / 2)
        axes[0].plot([low, high], [y, y], color=colour, linewidth=2)
        axes[0].plot([middle], [y], "o", color=colour, markersize=6)
        if each.goal:
            axes[0].plot([each.goal], [lines[name]], "|", color="#222222", markersize=13)
        if each.limit:
            shares = (each.amount / statistics.median(s) / each.limit for s in (each.ours, each.theirs))
            for share, look in zip(shares, ({"color": colour}, {"color": colour, "fillstyle": "none"}), strict=True):
                axes[1].plot([share], [y], "o", markersize=6, **look)
    for colour, count in zip(COLOURS, threads, strict=False):
        axes[0].plot([], [], "o", color=colour, label=f"{count} thread{'s' * (count > 1)}")
    figure.legend(loc="outside upper right", ncols=len(threads), frameon=False)
    axes[0].set_yticks(range(len(lines)), lines)
    axes[0].set_ylim(len(lines) - 0.4, -0.6)
    axes[0].axvline(1, color="#666666", linewidth=1)
    axes[0].set(
        xscale="log", xlabel=f"times faster than {peers.pop() if len(peers) == 1 else 'the peer'} (stroke: goal)"
    )
    ends = [value for each in comparisons for value in (*ratio(each.ours, each.theirs), each.goal or 1)]
    ticks = [t for t in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100) if min(ends) / 2 < t < max(ends) * 2]
    axes[0].set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes[0].minorticks_off()
    if limits:
        axes[1].set(xlim=(0, 1.05), xlabel="share of the limit\n(hollow: the peer)")
    for axis in axes:
        axis.grid(axis="x", color="#e0e0e0", linewidth=0.8)
        axis.set_axisbelow(True)
    return figure
