"""The plots of refq analyze signal: SVG with its letters as paths, so that a page needs nothing beside it."""

import base64
import io

import numpy as np
from matplotlib import style
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from refq.app.heat_map import heat_map, name_cells, ticks
from refq.jobs.signal import joined
from refq.jobs.signal_figures import NAMES, SMALLEST, ratios

COLORS = {"full": "#444444", "plain": "#d1495b", "frozen": "#00798c"}
STYLE = {"svg.hashsalt": "refq", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
WIDTH = 11.0  # inches of a plot


def plots(signals, report):
    """Name -> data URI of each plot; report: the figures made of signals."""
    freeze = report["freeze"]
    titles = {"full": "full precision", "plain": "nothing frozen", "frozen": f"{joined(freeze)} frozen"}
    with style.context(["default", STYLE]):  # whatever settings a user has
        return {
            "norms": _norms(signals, freeze, titles),
            "ratios": _ratios(signals, freeze, titles),
            "curves": _curves(signals, report, titles),
            "states": _states(signals, titles),
            "losses": _losses(signals, titles),
        }


def _norms(signals, freeze, titles):
    """Squared norms of three models, one scale of colours."""
    found = {"full": signals.full["used"]}
    found |= {kind: student["used"][:, -1].mean(axis=0) for kind, student in signals.students.items()}
    found = {kind: np.maximum(x, SMALLEST) for kind, x in found.items()}
    scale = LogNorm(min(x.min() for x in found.values()), max(x.max() for x in found.values()))
    return _maps(found, titles, freeze, scale, "viridis", ("squared gradient norm", "#.2g"))


def _ratios(signals, freeze, titles):
    """Of two models to full precision, one scale of colours with 1 in its middle."""
    found = {kind: np.exp(np.log(ratios(signals, x)[:, -1]).mean(axis=0)) for kind, x in signals.students.items()}
    reach = max(1.05, *(np.exp(np.abs(np.log(x)).max()) for x in found.values()))
    return _maps(found, titles, freeze, LogNorm(1 / reach, reach), "RdBu_r", ("ratio to full precision", ".2f"))


def _maps(found, titles, freeze, scale, colours, label):
    layers, width = len(next(iter(found.values()))), WIDTH * (len(found) + 0.35) / 3.35
    figure = Figure((width, 1.0 + max(0.28 * layers, 1.4)), layout="constrained")
    axes = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
    for axis, (kind, values) in zip(axes, found.items(), strict=True):
        mesh = heat_map(axis, values, scale, colours, label[1])
        columns = [f"{name}\nfrozen" if kind == "frozen" and name in freeze else name for name in NAMES]
        name_cells(axis, columns, [f"layer {n}" for n in range(layers)])
        axis.set_title(titles[kind], color=COLORS[kind], weight="bold")
    axes[0].invert_yaxis()  # of all: it is shared
    bar = figure.colorbar(mesh, ax=axes, label=label[0], pad=0.01, aspect=30)
    ticks(bar.ax.yaxis, scale.vmin, scale.vmax)
    return _encoded(figure)


def _curves(signals, report, titles):
    """Ratios to full precision over the steps, one panel each; the last one shows how far those compared are off."""
    figure = Figure((WIDTH, 4.6), layout="constrained")
    *axes, last = figure.subplots(2, 4, sharex=True, sharey=True).flat
    freeze, compared = report["freeze"], [NAMES.index(name) for name in report["compared"]]
    for kind, student in signals.students.items():
        logs = np.log(ratios(signals, student))
        for column, axis in enumerate(axes):
            dashed = kind == "frozen" and NAMES[column] in freeze
            _line(axis, signals.steps, np.exp(logs[..., column].mean(axis=2)), kind, titles, "--" if dashed else "-")
            axis.set_title(f"{NAMES[column]}{' (frozen in one)' if NAMES[column] in freeze else ''}")
        _line(last, signals.steps, np.exp(np.abs(logs[..., compared]).mean(axis=(2, 3))), kind, titles)
    last.set_title(f"distance of {', '.join(NAMES[n] for n in compared)}", size=9)
    last.legend(frameon=False)
    for axis in (*axes, last):
        axis.axhline(1, color=COLORS["full"], linewidth=0.8)
        axis.set_yscale("log")
        axis.grid(axis="y", linewidth=0.3)
    ticks(last.yaxis, *last.get_ylim())
    figure.supxlabel("step", size=9)
    figure.supylabel("ratio to full precision", size=9)
    return _encoded(figure)


def _states(signals, titles):
    """Mean and norm of the states after each layer, of all three; and the norms as parts of those of full precision."""
    figure, full = Figure((WIDTH, 2.9), layout="constrained"), signals.full
    mean, norm, part = figure.subplots(1, 3)
    layers = range(len(full["norm"]))
    for kind, found in ({"full": {key: x[None, None] for key, x in full.items()}} | signals.students).items():
        _line(mean, layers, found["mean"][:, -1], kind, titles, "o-")
        _line(norm, layers, found["norm"][:, -1], kind, titles, "o-")
        _line(part, layers, found["norm"][:, -1] / full["norm"], kind, titles, "o-")
    for axis, label in ((mean, "mean"), (norm, "mean norm"), (part, "mean norm, of full precision's")):
        axis.set_xticks(layers[:: max(1, len(layers) // 8)])
        axis.set_xlabel("after layer")
        axis.set_title(label, size=9)
    norm.legend(frameon=False)
    return _encoded(figure)


def _losses(signals, titles):
    """Of the probe, and of each training step's own batch."""
    figure = Figure((WIDTH, 2.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.axhline(signals.full["loss"], color=COLORS["full"], label=titles["full"])
    for kind, student in signals.students.items():
        _line(left, signals.steps, student["loss"], kind, titles)
        _line(right, range(1, student["batch_loss"].shape[1] + 1), student["batch_loss"], kind, titles)
    left.set_ylabel("cross-entropy on the probe")
    right.set_ylabel("training loss of each batch")
    right.set_yscale("log")
    ticks(right.yaxis, *right.get_ylim())
    for axis in (left, right):
        axis.set_xlabel("step")
    left.legend(frameon=False)
    return _encoded(figure)


def _line(axis, x, values, kind, titles, style="-"):
    """The mean over seeds (seeds, points), and a band from the lowest to the highest."""
    axis.plot(x, values.mean(axis=0), style, color=COLORS[kind], label=titles[kind], linewidth=1.4, markersize=4)
    if len(values) > 1:
        axis.fill_between(x, values.min(axis=0), values.max(axis=0), color=COLORS[kind], alpha=0.2, linewidth=0)


def _encoded(figure):
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(file.getvalue()).decode()}"
