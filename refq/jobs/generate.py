"""Continue a prompt, one token after the other."""

import time
from typing import NamedTuple

import numpy as np

from refq.errors import NonFiniteError, UsageError
from refq.jobs.model import operations, pieces


class Sampling(NamedTuple):
    """max_tokens: of the continuation; temperature: 0 for greedy; top_p: in (0, 1]; seed: of NumPy's PCG64."""

    max_tokens: int = 200
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


class Report(NamedTuple):
    """Token ids of the continuation, why it ended ("end", "max_tokens", "positions"), and the seconds it took."""

    tokens: list
    reason: str
    prefill_seconds: float
    decode_seconds: float


def generate(engine, model, tokens, ends, sampling, emit):
    """Continue `tokens`, and hand out each new one as soon as it is chosen.

    Parameters
        model: (config, params), as load_model or open_model gives them.
        tokens: list of ids, the prompt with its special tokens; at least one.
        ends: ids that end the text; they are not emitted.
        sampling: Sampling.
        emit: function of one id.
    Returns
        Report: prefill is up to the logits of the first token; decode is all that follows.
    Raises
        UsageError: an empty prompt, or one longer than the model's positions; a sampling value outside its range.
    """
    config, params = model
    check_request(config, tokens, sampling)
    ops = operations(engine, config | {"cache_bits": None})  # the decoder has codes in its cache
    decoder = engine.LlamaDecoder(params, config, ops, config.get("cache_bits"))
    random, made, fed = np.random.Generator(np.random.PCG64(sampling.seed)), [], list(tokens)
    reason, started, prefilled = "max_tokens", time.perf_counter(), None
    while len(made) < sampling.max_tokens:
        if len(tokens) + len(made) > config["max_position_embeddings"]:
            reason = "positions"
            break
        logits = _feed(decoder, config, fed)
        prefilled = prefilled or time.perf_counter()
        token = sample(logits, sampling.temperature, sampling.top_p, random)
        if token in ends:
            reason = "end"
            break
        made.append(token)
        fed = [token]
        emit(token)
    return Report(made, reason, prefilled - started, time.perf_counter() - prefilled)


def check_request(config, tokens, sampling):
    """Refuse a prompt or a Sampling that `generate` cannot follow, before anything is written."""
    positions = config["max_position_embeddings"]
    if not 1 <= len(tokens) <= positions:
        raise UsageError(f"the prompt has {len(tokens)} tokens; this model takes 1..{positions}")
    if sampling.max_tokens < 1 or sampling.seed < 0:
        raise UsageError(f"max_tokens={sampling.max_tokens}, seed={sampling.seed}; at least 1 and 0 are needed")
    if not 0 <= sampling.temperature < np.inf:
        raise UsageError(f"temperature={sampling.temperature}; 0 <= temperature < infinity is needed")
    if not 0 < sampling.top_p <= 1:
        raise UsageError(f"top_p={sampling.top_p}; 0 < top_p <= 1 is needed")


def sample(logits, temperature, top_p, random):
    """One token of a distribution.

    temperature 0: argmax, the lowest id among equals
    else: p = softmax(logits / temperature) in float64; the fewest most probable tokens whose p adds up to top_p
          are kept (lower ids first among equals), and one of them is drawn in proportion to its p

    Parameters
        logits: float array (V,).
        temperature: float >= 0.
        top_p: float in (0, 1].
        random: numpy Generator, or anything whose random() is in [0, 1).
    Returns
        int.

    >>> sample(np.array([0.0, 2.0, 1.0]), 0.0, 1.0, None)
    1
    """
    if temperature == 0:
        return int(np.argmax(logits))
    with np.errstate(over="ignore"):  # a tiny temperature: -infinity is what is meant
        p = np.exp((logits.astype(np.float64) - logits.max()) / temperature)
    share = random.random()
    needed = (top_p if top_p < 1 else share) * p.sum()
    for least in (2.0**-4, 2.0**-8, 2.0**-16, 0.0):  # of the largest, which is 1: few are worth sorting
        likely = np.flatnonzero(p >= least)
        if p[likely].sum() > needed:
            break
    order = likely[np.argsort(-p[likely], kind="stable")]
    total = np.cumsum(p[order])
    if top_p < 1:
        total = total[: np.searchsorted(total, needed) + 1]
        needed = share * total[-1]
    return int(order[min(np.searchsorted(total, needed, side="right"), len(total) - 1)])


def sample_rows(logits, temperature, top_p, uniform):
    """One token of each row's distribution, as `sample` draws it; but unless top_p cuts some off, tokens stay in the
    order of their ids, so that nothing has to be sorted.

    Parameters
        logits: float array (B, V).
        temperature: float > 0.
        top_p: float in (0, 1].
        uniform: float64 (B,), in [0, 1).
    Returns
        int64 (B,).

    >>> sample_rows(np.log([[0.25, 0.75], [0.25, 0.75]]), 1.0, 1.0, np.array([0.2, 0.3]))
    array([0, 1])
    """
    with np.errstate(over="ignore"):
        p = np.exp((logits.astype(np.float64) - logits.max(axis=1, keepdims=True)) / temperature)
    if top_p == 1:
        total = np.cumsum(p, axis=1)
        return (total <= uniform[:, None] * total[:, -1:]).sum(axis=1)
    order, row = np.argsort(-p, axis=1, kind="stable"), np.arange(len(p))
    total = np.cumsum(np.take_along_axis(p, order, axis=1), axis=1)
    kept = (total < top_p * total[:, -1:]).sum(axis=1)  # the place of the last
    return order[row, (total <= (uniform * total[row, kept])[:, None]).sum(axis=1)]


def _feed(decoder, config, tokens):
    """The logits (V,) after the last of `tokens`; memory does not grow with their number."""
    _, step = pieces([config], len(tokens))
    for start in range(0, len(tokens), step):
        logits = decoder.feed(tokens[start : start + step])
    if not np.isfinite(logits).all():
        raise NonFiniteError("the model gives logits that are not finite")
    return logits
