"""The picture of refq plot codebook: how often each weight occurs, and the numbers that are kept of all."""

import io

import numpy as np
from matplotlib import style
from matplotlib.figure import Figure

STYLE = {"svg.hashsalt": "refq", "font.size": 11, "axes.spines.top": False, "axes.spines.right": False}
STYLE |= {"axes.spines.left": False}
COLORS = {"kmeans_optimal": "#00798c", "linear_round": "#d1495b", "linear_mean": "#edae49"}
BINS = 240
QUIET = "#666666"
LABELS = {
    "kmeans_optimal": "numbers stand close together where there are many weights",
    "linear_round": "evenly spaced, from the smallest weight to the largest",
    "linear_mean": "the mean of each of as many equally wide bins",
}
PANELS = {"k-means": ("kmeans_optimal",), "linear": ("linear_round", "linear_mean")}
NOTE = "Every weight becomes one of the marked numbers. The error is squared, a share of the squared weights."


def picture(tensor, bits, numbers, found, suffix):
    """The bytes of a .png or .svg.

    Parameters
        tensor: its name, for the title.
        bits, numbers, found: as tensor_codebooks takes and gives them.
        suffix: "png" or "svg".
    """
    with style.context(["default", STYLE]):  # whatever settings a user has
        figure = Figure((10, 7), layout="constrained")
        title = f"{len(numbers):,} weights kept as {2**bits} different numbers ({bits} bit{'s' * (bits > 1)} each)"
        figure.suptitle(f"{title}\n", fontsize=14)
        figure.text(0.5, 0.952, tensor, ha="center", va="top", fontsize=10, color=QUIET, family="monospace")
        axes = figure.subplots(len(PANELS), 1, sharex=True, sharey=True)
        counts, edges = np.histogram(numbers.astype(np.float64), BINS)
        for axis, (name, schemes) in zip(axes, PANELS.items(), strict=True):
            _panel(axis, name, counts, edges, {scheme: found[scheme] for scheme in schemes})
        axes[-1].set_xlabel("value of a weight")
        figure.supxlabel(NOTE, fontsize=9, color=QUIET)
        data = io.BytesIO()
        figure.savefig(data, format=suffix, dpi=160, metadata={"Date": None} if suffix == "svg" else None)
    return data.getvalue()


def _panel(axis, name, counts, edges, schemes):
    """The histogram, and above it a row of marks for each scheme."""
    top = max(counts.max(), 1)
    axis.stairs(counts, edges, fill=True, color="#c8ccd0", label="how many weights have this value")
    for row, (scheme, (codebook, error)) in enumerate(schemes.items()):
        height, few = top * (1.1 + 0.14 * row), len(codebook) <= 32
        axis.vlines(codebook, 0, height, color=COLORS[scheme], linewidth=1.0 if few else 0.3, alpha=0.8)
        text = f"{LABELS[scheme]}: error {_percent(error)}"
        marks = np.full(len(codebook), height)
        axis.plot(codebook, marks, "v", color=COLORS[scheme], markersize=7 if few else 3, label=text)
    axis.set_ylim(0, top * 1.32)
    axis.set_yticks([])
    handles, labels = axis.get_legend_handles_labels()
    place = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.3, "borderpad": 0}
    bold = {"weight": "bold", "size": 13}
    axis.legend(
        [*handles[1:], handles[0]],
        [*labels[1:], labels[0]],
        title=name,
        title_fontproperties=bold,
        alignment="left",
        frameon=False,
        **place,
    )


def _percent(share):
    return f"{100 * share:.2g} %" if share < 0.995 else f"{100 * share:.0f} %"
