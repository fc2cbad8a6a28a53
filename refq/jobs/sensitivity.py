"""How far each linear layer, quantized alone, moves what a model predicts."""

import math
from typing import NamedTuple

import numpy as np

from refq.errors import NonFiniteError
from refq.files.checkpoint import open_checkpoint
from refq.files.tokenizer import open_tokenizer
from refq.jobs.layer import Source
from refq.jobs.model import load_model, pieces
from refq.jobs.perplexity import check_sizes, compare, cut_windows, distribution
from refq.jobs.plan import plan_files, plan_schemes
from refq.jobs.progress import progress, say, size
from refq.jobs.quantized_weight import quantized_weight
from refq.jobs.text import cut_documents, read_documents
from refq.models.llama import llama_block, llama_logits
from refq.ops.namespace import Replaced
from refq.training.activations import QuantizedInput, quantized_inputs
from refq.training.student import PROJECTIONS, projection_weights

TOKENS = 8192  # of the text, if nobody says how many


class Sensitivity(NamedTuple):
    """What was measured of a model with L blocks of 7 linear layers, in the order of PROJECTIONS.

    original: nats a scored token.
    parts: what was quantized: "weight", and "input" where inputs were too, each without the other.
    nats, kl, same: (parts, L + 1, 8), a scored token: negative log-likelihood; KL divergence to the original, in nats;
        whether both name the same likeliest token. [:, b, p] has one layer quantized, [:, L, p] all of a kind together,
        [:, b, 7] all of a block, [:, L, 7] all.
    channels: (L, 7), of each layer's input in full precision: the largest magnitude in a channel, that of the channel
        where it is largest over that of the median channel.
    scored, windows: numbers of tokens and of windows.
    """

    original: float
    parts: tuple
    nats: np.ndarray
    kl: np.ndarray
    same: np.ndarray
    channels: np.ndarray
    scored: int
    windows: int


def sensitivity(directory, text, engine, options, context=256, limit=None, activations=None):
    """Quantize one linear layer after the other, and compare what the model predicts with what it predicted.

    The text is cut and scored as in refq.jobs.perplexity. Every window goes once through the original, whose states
    between the blocks are kept; an altered model runs from its first altered block on.

    Parameters
        directory: of a float model.
        text: path of a UTF-8 file.
        engine: refq or refq_fast.
        options: Options; the weights computed with are those that quantize would write.
        context: tokens a window.
        limit: tokens to use; None for TOKENS, or for all of a shorter text.
        activations: bits of the inputs, a grid a token; None to leave inputs alone.
    Returns
        Sensitivity.
    Raises
        UsageError, GroupSizeError: options, a context or a limit that the model or text does not have.
        FileError: a model or text that cannot be read, or a text too short for one window.
        NonFiniteError: logits that are not finite.
    """
    checkpoint = open_checkpoint(directory)
    files = plan_files(checkpoint, plan_schemes(checkpoint, options))
    units = [unit for units in files.values() for unit in units if unit.scheme]
    tokens = cut_documents(read_documents(text)[1], open_tokenizer(directory, checkpoint.config["vocab_size"]))
    check_sizes(checkpoint.config, len(tokens), context, limit, text)
    windows = cut_windows(tokens[: limit or max(context, TOKENS)], context)
    say(f"about {size(memory_needed(checkpoint, units, context))} of memory are needed")
    model = load_model(directory, engine)
    altered = {"weight": _weights(units, Source(checkpoint, engine, options))}
    if activations is not None:
        altered["input"] = {name: QuantizedInput(model[1][name], activations) for name in altered["weight"]}
    return _compared(engine, model, altered, windows)


def memory_needed(checkpoint, units, context):
    """Bytes, roughly: ourselves, the weights and their low-bit copies, and the states and logits of one piece."""
    config = checkpoint.config
    weights = 4 * sum(math.prod(info.shape) for _, info in checkpoint.tensors.values())
    scales = sum(math.prod(shape) for unit in units for name, _, shape in unit.parts if name.endswith("_scale"))
    copies = sum(math.prod(unit.shape) * unit.scheme.bits // 8 for unit in units) + 8 * scales
    rows, step = pieces([config], context - 1)
    states = (config["num_hidden_layers"] + 12) * config["hidden_size"] + 6 * config["intermediate_size"]
    logits = 8 * config["vocab_size"] * (context - 1 + 4 * step)
    return 200_000_000 + weights + copies + rows * (4 * states * (context - 1) + logits)


def _weights(units, source):
    """Name -> the weight that an engine reads out of what quantize writes."""
    found = {}
    with progress(len(units), "layers", "quantizing") as advance:
        for unit in units:
            found[unit.name] = quantized_weight(unit, source, [])
            advance(1)
    return found


def _compared(engine, model, altered, windows):
    layers, names = model[0]["num_hidden_layers"], np.array(projection_weights(model[0]))
    places = [(block, kind) for block in (*range(layers), None) for kind in (*range(len(PROJECTIONS)), None)]
    runs = [(layers, {})]  # nothing altered
    for weights in altered.values():
        for block, kind in places:
            chosen = names[slice(None) if block is None else block, slice(None) if kind is None else kind]
            runs.append((block or 0, {name: weights[name] for name in np.ravel(chosen)}))
    sums, maxima = _sums(engine, model, runs, windows)
    if not np.isfinite(sums).all():
        raise NonFiniteError(f"a sum of negative log-likelihoods is {sums[:, 0].max()}; logits must be finite")
    scored = windows.shape[0] * (windows.shape[1] - 1)
    columns = (column.reshape(len(altered), layers + 1, -1) for column in sums[1:].T / scored)
    channels = np.array([[_ratio(maxima[name]) for name in block] for block in names])
    return Sensitivity(sums[0, 0] / scored, tuple(altered), *columns, channels, scored, len(windows))


def _sums(engine, model, runs, windows):
    """Of each run (first altered block, name -> weight) the sums of compare; and of each layer's input the maxima."""
    (config, params), maxima = model, {}
    layers, ops, watched = config["num_hidden_layers"], quantized_inputs(engine), _watched(engine, model, maxima)
    (rows, step), sums = pieces([config], windows.shape[1] - 1), np.zeros((len(runs), 3))
    with progress(len(windows) * sum(layers - first for first, _ in runs), "blocks", "running") as advance:
        for start in range(0, len(windows), rows):
            batch = windows[start : start + rows]
            targets = _cut(batch[:, 1:], step)
            states = [engine.embed(batch[:, :-1], params["model.embed_tokens.weight"])]
            for layer in range(layers):
                states.append(llama_block(params, states[-1], layer, config, watched))
            known = [distribution(engine, llama_logits(params, x, config, ops)) for x in _cut(states[-1], step)]
            for number, (first, weights) in enumerate(runs):
                x, altered = states[first], params | weights
                for layer in range(first, layers):
                    x = llama_block(altered, x, layer, config, ops)
                for piece, *right in zip(_cut(x, step), targets, known, strict=True):
                    sums[number] += compare(engine, llama_logits(params, piece, config, ops), *right)
                advance(len(batch) * (layers - first))
    return sums, maxima


def _watched(engine, model, maxima):
    """The engine with a linear that keeps in `maxima` the largest magnitude in each channel of what a weight meets."""
    config, params = model
    names = {id(params[name]): name for block in projection_weights(config) for name in block}

    def linear(x, weight, bias=None):
        name = names[id(weight)]
        maxima[name] = np.maximum(maxima.get(name, 0), np.abs(x).max(axis=(0, 1)))
        return engine.linear(x, weight, bias)

    return Replaced(engine, linear=linear)


def _cut(x, step):
    """Pieces of `step` positions, (B, T, ...)."""
    return [x[:, start : start + step] for start in range(0, x.shape[1], step)]


def _ratio(maxima):
    middle, largest = float(np.median(maxima)), float(maxima.max())
    return largest / middle if middle else math.inf if largest else 1.0
