"""Rows of text in columns, and names of layers that differ in the layer alone."""

import re


def table(head, rows):
    """Lines of a table: the first column to the left, the others to the right.

    >>> print(table(("name", "bits"), [("a", 4), ("bc", None)]))
    name  bits
    a        4
    bc       -
    """
    lines = [head, *(["-" if cell is None else str(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) if i else cell.ljust(width) for i, (cell, width) in enumerate(pairs)).rstrip()
        for pairs in (list(zip(line, widths, strict=True)) for line in lines)
    )


def by_kind(names):
    """Names with their layer as a star, and how often each occurs.

    >>> by_kind(["model.layers.0.mlp.up_proj", "model.layers.1.mlp.up_proj", "lm_head"])
    {'model.layers.*.mlp.up_proj': 2, 'lm_head': 1}
    """
    counts = {}
    for name in names:
        kind = re.sub(r"\.\d+\.", ".*.", name)
        counts[kind] = counts.get(kind, 0) + 1
    return counts
