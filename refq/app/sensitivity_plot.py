"""The picture of refq analyze sensitivity: blocks by projections, as cells."""

import io

import numpy as np
from matplotlib import style
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from refq.app.heat_map import heat_map, name_cells, ticks
from refq.jobs.sensitivity_figures import NAMES

STYLE = {"svg.hashsalt": "refq", "font.size": 9}
RANGE = 1e-6  # what is smaller, as a share of the largest, has the same colour
LARGEST = 1e9  # in place of an infinite ratio
WIDTH = 4.8  # inches of a panel
QUIET = "#666666"


def picture(found, titles, suffix):
    """The bytes of a .png or .svg.

    Parameters
        found: refq.jobs.sensitivity.Sensitivity.
        titles: str: of the picture, a line below it, and of the panel of each of found.parts.
        suffix: "png" or "svg".
    """
    title, line, *titles = titles
    layers, panels = len(found.channels), len(found.parts) + 1
    with style.context(["default", STYLE]):  # whatever settings a user has
        figure = Figure((WIDTH * panels + 0.6, 2.0 + max(0.28 * layers, 1.2)), layout="constrained")
        figure.suptitle(f"{title}\n", fontsize=12)
        figure.text(0.5, 1 - 0.4 / figure.get_figheight(), line, ha="center", va="center", color=QUIET)
        *axes, last = figure.subplots(1, panels)
        kl = np.maximum(found.kl, max(found.kl.max(), 1e-30) * RANGE)
        scale = LogNorm(kl.min(), max(kl.max(), 1.01 * kl.min()))
        for axis, values, text in zip(axes, kl, titles, strict=True):
            mesh = heat_map(axis, values, scale, "magma_r", "#.2g")
            name_cells(axis, [*NAMES, "all"], [*(f"block {n}" for n in range(layers)), "all"])
            axis.axhline(layers, color="w", linewidth=5)  # what is quantized together stands apart
            axis.axvline(len(NAMES), color="w", linewidth=5)
            axis.set_title(text)
        _bar(figure, mesh, axes, "KL divergence, nats a token")
        ratios = np.minimum(found.channels, LARGEST)
        mesh = heat_map(last, ratios, LogNorm(1, max(ratios.max(), 1.01)), "Blues", ".2f")
        name_cells(last, NAMES, [f"block {n}" for n in range(layers)])
        last.set_title("channels of the float inputs")
        _bar(figure, mesh, last, "largest channel over the median one")
        for axis in (*axes, last):
            axis.invert_yaxis()
        data = io.BytesIO()
        figure.savefig(data, format=suffix, dpi=160, metadata={"Date": None} if suffix == "svg" else None)
    return data.getvalue()


def _bar(figure, mesh, axes, text):
    bar = figure.colorbar(mesh, ax=axes, label=text, pad=0.01, aspect=30)
    ticks(bar.ax.yaxis, mesh.norm.vmin, mesh.norm.vmax)
