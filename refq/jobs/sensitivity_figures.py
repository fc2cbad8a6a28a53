"""Rows made of what refq.jobs.sensitivity measured: one for every layer, kind, block and all, and for each part."""

import math

from refq.training.student import PROJECTIONS

NAMES = list(PROJECTIONS)
COLUMNS = ("part", "level", "block", "projection", "kl", "kl_apart", "top1_agreement", "perplexity", "channel_ratio")


def rows(found):
    """Everything that was measured, as plain numbers.

    Returns
        list of dicts with COLUMNS: "part", "weight" or "input"; "level", "layer", or what is quantized together:
        "kind", "block" or "all"; "block" and "projection", None for all; "kl" in nats a token; "kl_apart", the sum of
        those of its layers alone; "channel_ratio", of the layer's input, None if infinite or if there are several.
    """
    layers = len(found.channels)
    return [
        _row(found, part, None if block == layers else block, None if kind == len(NAMES) else kind)
        for part in range(len(found.parts))
        for block in range(layers + 1)
        for kind in range(len(NAMES) + 1)
    ]


def perplexity(nats):
    """None where no float holds it: JSON has no infinity."""
    return math.exp(nats) if nats < 700 else None


def csv(table):
    """Rows as text; floats as Python reads them back."""
    lines = [["" if row[name] is None else str(row[name]) for name in COLUMNS] for row in table]
    return "\n".join(map(",".join, [COLUMNS, *lines])) + "\n"


def _row(found, part, block, kind):
    layers = len(found.channels)
    place = part, layers if block is None else block, len(NAMES) if kind is None else kind
    apart = found.kl[part, :layers, : len(NAMES)]
    apart = apart[slice(None) if block is None else block, ..., slice(None) if kind is None else kind]
    level = {(True, True): "all", (True, False): "kind", (False, True): "block"}.get((block is None, kind is None))
    ratio = None if level else float(found.channels[block, kind])
    return {
        "part": found.parts[part],
        "level": level or "layer",
        "block": block,
        "projection": None if kind is None else NAMES[kind],
        "kl": float(found.kl[place]),
        "kl_apart": float(apart.sum()),
        "top1_agreement": float(found.same[place]),
        "perplexity": perplexity(found.nats[place]),
        "channel_ratio": ratio if level is None and math.isfinite(ratio) else None,
    }
