"""SmoothQuant, Outlier Suppression+ and AWQ: scales of channels, folded into what makes them."""

from typing import NamedTuple

import numpy as np

from refq.errors import GridError
from refq.jobs.methods.block import altered, fitted, observed, quantized
from refq.jobs.methods.objectives import open_sites, output, readers, squared_error
from refq.jobs.methods.statistics import gathered
from refq.jobs.model import operations
from refq.transforms.sites import fold_site


class Smoothing(NamedTuple):
    """alpha: of smooth_scale."""

    alpha: float = 0.5


class Suppression(NamedTuple):
    """floor: the smallest threshold.  sequences: how many the search sees."""

    floor: float = 0.1
    sequences: int = 1


class Salience(NamedTuple):
    """ratios: how many are tried.  clip: whether weights are clipped then.  sequences: how many the search sees.
    tokens: how many clipping sees."""

    ratios: int = 20
    clip: bool = True
    sequences: int = 1
    tokens: int = 512


def smoothquant(block, data, settings, how):
    """smooth_scale of what both norms give, from the whole text."""
    sites = open_sites(block, settings, ("input_layernorm", "post_attention_layernorm"))
    seen = gathered(observed(block, [readers(block, site)[0] for site in sites], data.full, settings, low=False))
    for site in sites:
        layers = readers(block, site)
        w_absmax = np.max([np.abs(block.weight(layer)).max(axis=0) for layer in layers], axis=0)
        block = _folded(block, site, settings.engine.smooth_scale(seen[layers[0]].absmax, w_absmax, how.alpha))
    return block


def os_plus(block, data, settings, how):
    """os_scale of all three sites, by the threshold with the least error of the output; of equal ones the largest.

    No shift: LLaMA's norms have no bias that could give one.
    """
    return _searched(block, data, settings, how.sequences, _thresholds(settings, how.floor))


def awq(block, data, settings, how):
    """awq_scale of what is salient, by the ratio with the least error of attention, of the mlp, and of down_proj.

    Then the largest weights of each group are clipped where that helps, but for q and k.
    """
    block = _searched(block, data, settings, how.sequences, _ratios(settings, how.ratios), through=True)
    return _clipped(block, data, settings, how.tokens) if how.clip else block


def _thresholds(settings, floor):
    def candidates(channels):
        for threshold in settings.engine.os_thresholds(channels.absmax, floor):
            yield settings.engine.os_scale(channels.minimum, channels.maximum, threshold)

    return candidates


def _ratios(settings, count):
    def candidates(channels):
        for step in range(count):
            yield settings.engine.awq_scale(channels.mean, step / count)

    return candidates


def _searched(block, data, settings, sequences, candidates, through=False):
    sites = open_sites(block, settings)
    firsts = {readers(block, site)[0]: site for site in sites}
    seen = gathered(observed(block, firsts, data.full, settings, low=False))
    for first, site in firsts.items():
        # earlier sites are folded by now: what a norm gives is asked for again
        x = np.concatenate([x for _, x in observed(block, [first], data.full[:sequences], settings, low=False)])
        block = _folded(block, site, _best(block, site, x, candidates(seen[first]), settings, through))
    return block


def _best(block, site, x, scales, settings, through):
    """The scale with the least error, of equal ones the first."""
    ops, layers = operations(settings.engine, settings.config | {"attention_activations": None}), readers(block, site)
    plain = block.params
    y = output(site, plain, x, block.layer, settings, ops, through)
    least, best = np.inf, None
    for scale in scales:
        try:
            weights = {f"{layer}.weight": _on_its_grid(block, layer, scale, settings) for layer in layers}
        except GridError:  # weights so large that float16 has no step for them
            if best is None:
                raise
            continue
        tried = plain | weights
        error = squared_error(y, output(site, tried, x / scale, block.layer, settings, ops, through))
        if best is None or error < least:
            least, best = error, scale
    return best


def _on_its_grid(block, layer, scale, settings):
    w = block.weight(layer) * scale
    if layer not in settings.schemes:
        return w
    w_hat, _ = fitted(w, settings.schemes[layer], settings)
    return altered(block.with_weights({layer: w_hat}), layer, settings.activations)


def _clipped(block, data, settings, tokens):
    clipped = {}
    layers = [layer for layer in quantized(block, settings) if not layer.endswith(("q_proj", "k_proj"))]
    for layer, x in _some_inputs(block, layers, data.full, settings, tokens):
        w, scheme = block.weight(layer), settings.schemes[layer]
        size = scheme.group_size or w.shape[1]
        limit = settings.engine.awq_clip(x, w, scheme.bits, size, scheme.symmetric)
        groups = settings.engine.to_groups(w, size)
        clipped[layer] = np.clip(groups, -limit[..., None], limit[..., None]).reshape(w.shape)
    return block.with_weights(clipped)


def _some_inputs(block, layers, states, settings, tokens):
    """(layer, x): about so many tokens, (n, in), evenly from all sequences."""
    each = -(-tokens // len(states))
    step, found = max(1, states.shape[1] // each), {}
    for layer, x in observed(block, layers, states, settings, low=False):
        found.setdefault(layer, []).append(x[:, ::step].reshape(-1, x.shape[-1]))
    return [(layer, np.ascontiguousarray(np.concatenate(parts)[:tokens])) for layer, parts in found.items()]


def _folded(block, site, scale):
    previous, following = block.name(site), readers(block, site)
    return block._replace(params=fold_site(block.params, previous, following, scale))
