"""What refq analyze sensitivity says: the layers that cost most, and what kinds and blocks cost together."""

from refq.app.signal_text import short
from refq.app.table import table

WORST = 20  # layers that are listed
FIXED = ("top1_agreement", "perplexity", "original")  # four decimals; three digits of all else


def text(report, parts):
    """Two tables; `report` has the rows of refq.jobs.sensitivity_figures, `parts` are their parts."""
    places = {}
    for row in report["rows"]:
        places.setdefault((row["level"], row["block"], row["projection"]), []).append(row)
    levels = {level: _worst_first(places.values(), level) for level in ("layer", "all", "kind", "block")}
    layers = levels.pop("layer")
    lines = [
        [_name(rows[0]), *_cells(rows, "top1_agreement"), _number(rows[0], "channel_ratio")] for rows in layers[:WORST]
    ]
    parts_text = [table(("one alone", *_titles(parts, "top-1"), "channels"), lines)]
    if len(layers) > WORST:
        parts_text[0] += f"\n{len(layers) - WORST} more, all less: --out FILE.csv or --json has them"
    lines = [[_name(rows[0]), *_cells(rows, "kl_apart")] for level in levels.values() for rows in level]
    parts_text.append(table(("together", *_titles(parts, "KL apart")), lines))
    parts_text.append(
        f"original: perplexity {_number(report, 'original')}, {report['tokens_scored']} tokens scored in "
        f"{report['windows']} windows, {report['seconds']:.1f} s"
    )
    written = " and ".join(filter(None, dict.fromkeys([report["out"], report["csv"]])))
    return "\n\n".join([*parts_text, *([f"{written}: written"] if written else [])])


def _worst_first(places, level):
    chosen = (rows for rows in places if rows[0]["level"] == level)
    return sorted(chosen, key=lambda rows: -max(row["kl"] for row in rows))


def _titles(parts, second):
    columns = ("KL", second, "perplexity")
    return [f"{part} {column}" if len(parts) > 1 else column for part in parts for column in columns]


def _name(row):
    block = "" if row["block"] is None else f"block {row['block']}"
    return " ".join(filter(None, [block, row["projection"]])) or "all"


def _cells(rows, second):
    return [_number(row, name) for row in rows for name in ("kl", second, "perplexity")]


def _number(row, name):
    value = row[name]
    return "infinite" if value is None else short(value) if name not in FIXED or value >= 1e4 else f"{value:.4f}"
