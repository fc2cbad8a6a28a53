"""QLLM's channel reassembly of a block: at three sites, each with the threshold that serves its output best."""

from typing import NamedTuple

import numpy as np

from refq.errors import GridError
from refq.jobs.methods.block import altered, fitted, observed
from refq.jobs.methods.objectives import open_sites, output, readers, squared_error
from refq.jobs.methods.statistics import gathered
from refq.jobs.model import operations
from refq.transforms.reassembly import assemble

SEARCHES, ASSEMBLIES, SCORES = ("adaptive", "fixed", "official"), ("merge", "prune", "none"), ("distance", "official")


class Reassembling(NamedTuple):
    """search: "adaptive", among threshold_grid, "no split" included; "official", among those of QLLM's program;
        "fixed", the expansion_threshold of that ratio.
    ratio: no more than ratio * channels extra ones; None for as many as there is room for, 0.2 where that has no end.
    points: of threshold_grid.
    assembly: what makes room: "merge", "prune", or "none": then there are more channels.
    score: what is merged: by channel_distance, or by official_channel_score.
    sequences: how many are used for distances and errors; largest values are those of the whole text.
    """

    search: str = "adaptive"
    ratio: float | None = None
    points: int = 100
    assembly: str = "merge"
    score: str = "distance"
    sequences: int = 1


def channel_reassembly(block, data, settings, how):
    """Split channels with outliers, and make up for it by merging others, before q, k, v; before gate, up; before down.

    how: Reassembling.
    """
    engine, most = settings.engine, 0.2 if how.ratio is None else how.ratio
    limit = most if how.assembly == "none" else how.ratio  # where something is merged or left out, room has an end
    grids = {
        "adaptive": lambda maximum: engine.threshold_grid(maximum, how.points, limit),
        "official": lambda maximum: engine.official_threshold_grid(maximum, most),
        "fixed": lambda maximum: [engine.expansion_threshold(maximum, most)],
    }
    firsts = {readers(block, site)[0]: site for site in open_sites(block, settings)}
    seen = gathered(observed(block, firsts, data.full, settings, low=False))
    some = {}
    for first, x in observed(block, firsts, data.full[: how.sequences], settings, low=False):
        some.setdefault(first, []).append(x)
    for first, site in firsts.items():
        layers = [layer for layer in readers(block, site) if layer in settings.schemes]
        x, maximum = np.concatenate(some[first]), seen[first].absmax
        make = _maker(x, np.concatenate([block.weight(layer) for layer in layers]), maximum, settings, how)
        forms = (form for threshold in grids[how.search](maximum) if (form := make(threshold)) is not None)
        block = _with_form(block, layers, _best(block, site, x, forms, settings), settings.engine)
    return block


def _maker(x, w, maximum, settings, how):
    """A function from threshold to the Reassembly, or None where there is no room for what it splits."""
    engine, x = settings.engine, x.reshape(-1, x.shape[-1])
    measure = engine.channel_distance if how.score == "distance" else engine.official_channel_score
    distance = measure(x, w) if how.assembly == "merge" else None

    def make(threshold):
        counts = engine.channel_splits(maximum, threshold)
        if how.assembly == "none":
            return assemble(counts, np.arange(counts.sum(), dtype=np.int32))
        try:
            return engine.reassembly(maximum, distance, threshold) if how.assembly == "merge" else pruned(counts)
        except GridError:  # more is split than can be merged or left out
            return None

    def pruned(counts):
        origin = np.repeat(np.arange(len(counts)), counts)
        parts = x[:, origin] / counts[origin].astype(x.dtype)
        into = engine.channel_pruning(parts, w[:, origin], len(origin) - len(counts), counts[origin] > 1)
        return assemble(counts, into)

    return make


def _best(block, site, x, forms, settings):
    """The form with the least error, of equal ones the one with the fewest parts; None where there is no form."""
    ops = operations(settings.engine, settings.config | {"attention_activations": None})
    y = output(site, block.params, x, block.layer, settings, ops)
    least, best, known = np.inf, None, set()
    for form in forms:
        key = b"".join(part.tobytes() for part in form)
        if key in known:
            continue
        known.add(key)
        layers = [layer for layer in readers(block, site) if layer in settings.schemes]
        tried = _with_form(block, layers, form, settings.engine)
        params = dict(tried.params)
        for layer in layers:
            w_hat, _ = fitted(tried.weight(layer), settings.schemes[layer], settings)
            params[f"{layer}.weight"] = altered(tried.with_weights({layer: w_hat}), layer, settings.activations)
        error = squared_error(y, output(site, params, x, block.layer, settings, ops))
        if best is None or error < least or (error == least and form.members.size < best.members.size):
            least, best = error, form
    return best


def _with_form(block, layers, form, engine):
    """The block with these weights reassembled; as it is if the form leaves every channel as it is."""
    channels = block.weight(layers[0]).shape[1]
    if form is None or (form.divisors.size == channels and (form.divisors == 1).all()):
        return block
    weights = {layer: engine.reassemble_weight(block.weight(layer), form) for layer in layers}
    return block.with_weights(weights)._replace(inputs=block.inputs | dict.fromkeys(layers, form))
