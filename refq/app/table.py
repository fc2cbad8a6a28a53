"""Rows of text in columns."""


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
