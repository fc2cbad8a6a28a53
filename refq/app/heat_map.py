"""Numbers as coloured cells with the number in each, for the plots of refq analyze."""

import numpy as np
from matplotlib.ticker import LogLocator, NullLocator


def heat_map(axis, values, scale, colours, form):
    """Cells, (rows, columns), each with its number; gives what a colour bar is made of."""
    mesh = axis.pcolormesh(values, cmap=colours, norm=scale, edgecolors="w", linewidth=0.8)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    for (row, column), value in np.ndenumerate(values):
        red, green, blue, _ = mesh.cmap(scale(value))
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
        shown = {"ha": "center", "va": "center", "size": 7.5, "color": "w" if dark else "k"}
        axis.text(column + 0.5, row + 0.5, digits(value, form), **shown)
    return mesh


def name_cells(axis, columns, rows):
    """Names beside the middles of the cells."""
    axis.set_xticks(np.arange(len(columns)) + 0.5, columns)
    axis.set_yticks(np.arange(len(rows)) + 0.5, rows)


def ticks(axis, low, high):
    """Some numbers as they are, not powers of ten, on a logarithmic axis."""
    few = (1, 2, 5) if high > 8 * low else (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)
    axis.set_major_locator(LogLocator(subs=few, numticks=20))
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_locator(NullLocator())


def digits(value, form):
    """At most six characters.

    >>> digits(0.5, ".2f"), digits(0.00001234, "#.2g"), digits(123.4, ".2f")
    ('0.50', '1.2e-5', '123')
    """
    if value < 0.000995 or value >= 999.5:
        return f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e")
    return f"{value:.0f}" if value >= 9.95 else f"{value:.1g}" if value < 0.095 and form == ".2f" else f"{value:{form}}"
