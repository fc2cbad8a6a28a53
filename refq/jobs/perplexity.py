"""How well a model predicts a text, and how far it is from the model it was made of."""

import math
import time

import numpy as np

from refq.errors import FileError, NonFiniteError, UsageError
from refq.files.tokenizer import open_tokenizer
from refq.jobs.model import logits_in_pieces, pieces
from refq.jobs.progress import WORTH_SAYING, progress, say, size
from refq.jobs.running import open_model
from refq.jobs.text import cut_documents, memory_of_texts, read_documents


def perplexity(directory, text, engine, context=256, limit=None, original=None, **running):
    """Score a text with a model.

    Every document of the text (see refq.jobs.text) is cut into tokens once (with the one token at its start that the
    tokenizer puts there), the first `limit` tokens of all into windows of `context`, a shorter last one dropped. Each
    window runs alone from position 0; its tokens 2..context are scored.

    Parameters
        directory: the model.
        text: path of a UTF-8 file, read whole.
        engine: refq or refq_fast.
        context: tokens a window, 2 .. the model's positions.
        limit: tokens to use; None for all.
        original: another model with the same tokenizer, or None.
        running: activations, of both, head_bits and cache_bits, of the model, as open_model takes them.
    Returns
        dict: perplexity, nats_per_token, bits_per_byte, tokens_scored, windows, seconds, tokens_per_second. The bytes
        are those of the text to which each window's scored tokens decode; the seconds are those of scoring alone.
        With `original` also kl, the mean over the scored tokens of sum p_original (log p_original - log p), in nats,
        and top1_agreement, the share of them for which both models name the same likeliest token.
    Raises
        UsageError: a context or limit that the model or text does not have; an original that does not fit.
        FileError: a model or text that cannot be read, or a text too short for one window.
    """
    model, (_, documents) = open_model(directory, engine, **running), read_documents(text)
    tokenizer = open_tokenizer(directory, model[0]["vocab_size"])
    needed = sum(memory_of_texts(documents, tokenizer))
    if needed > WORTH_SAYING:
        say(f"about {size(needed)} of memory are needed to cut {text} into tokens, beside the model")
    tokens = cut_documents(documents, tokenizer)
    check_sizes(model[0], len(tokens), context, limit, text)
    models, windows = [model], cut_windows(tokens[:limit], context)
    if original is not None:
        models.append(open_model(original, engine, running.get("activations", "stored")))
        other = open_tokenizer(original, models[1][0]["vocab_size"])
        _check_original(models, original, context, np.array_equal(cut_documents(documents, other), tokens))
    started = time.perf_counter()
    sums = score(engine, models, windows)
    return _report(sums, windows, tokenizer, time.perf_counter() - started)


def cut_windows(tokens, context):
    """Tokens to windows (W, context) that do not overlap; a shorter last one is dropped.

    >>> cut_windows([1, 5, 6, 7, 8], 2).tolist()
    [[1, 5], [6, 7]]
    """
    whole = len(tokens) // context * context
    return np.array(tokens[:whole], np.int32).reshape(-1, context)


def score(engine, models, windows):
    """Sums over all scored tokens, in float64: nats of the first model; with a second one KL and equal argmax.

    Parameters
        models: list of one or two (config, params); the second is the original.
        windows: int32 (W, context).
    Returns
        list of one or three floats.
    """
    sums, length = 0.0, windows.shape[1] - 1  # the logits of the last position predict nothing
    rows, step = pieces([config for config, _ in models], length)
    with progress(windows.size, "tokens", "scoring") as advance:
        for start in range(0, len(windows), rows):
            batch = windows[start : start + rows]
            runs = [logits_in_pieces(engine, model, batch[:, :-1], step) for model in models]
            for at, parts in enumerate(zip(*runs, strict=True)):
                targets = batch[:, 1:][:, at * step : (at + 1) * step]
                logits, *others = (logits for logits, _ in parts)
                original = distribution(engine, others[0]) if others else None
                sums = sums + np.array(compare(engine, logits, targets, original))
            advance(batch.size)
    if not np.isfinite(sums).all():
        raise NonFiniteError(f"the sum of negative log-likelihoods is {sums[0]}; the model's logits must be finite")
    return sums.tolist()


def distribution(engine, logits):
    """Of an original: (log probabilities in float64, the likeliest token), what compare needs of it."""
    # float64: the difference of two nearly equal distributions is all that counts
    return engine.log_softmax(logits.astype(np.float64)), np.argmax(logits, axis=-1)


def compare(engine, logits, targets, original=None):
    """Sums over all positions: nats; with the distribution of an original KL to it, and equal argmax."""
    nats = engine.cross_entropy(logits, targets).sum(dtype=np.float64)
    if original is None:
        return [nats]
    (log_q, own), (log_p, top) = distribution(engine, logits), original
    return [nats, (np.exp(log_p) * (log_p - log_q)).sum(), (own == top).sum()]


def _report(sums, windows, tokenizer, seconds):
    scored = windows.shape[0] * (windows.shape[1] - 1)
    length = sum(len(tokenizer.decode(window[1:]).encode()) for window in windows.tolist())
    nats = sums[0] / scored
    report = {
        "perplexity": math.exp(nats) if nats < 700 else None,  # JSON has no infinity
        "nats_per_token": nats,
        "bits_per_byte": sums[0] / math.log(2) / length if length else None,
        "tokens_scored": scored,
        "windows": len(windows),
        "seconds": seconds,
        "tokens_per_second": scored / seconds,
    }
    return report | {name: value / scored for name, value in zip(("kl", "top1_agreement"), sums[1:], strict=False)}


def check_sizes(config, found, context, limit, path):
    positions = config["max_position_embeddings"]
    if not 2 <= context <= positions:
        raise UsageError(f"context={context}; this model takes 2..{positions}")
    if limit is not None and limit < context:
        raise UsageError(f"--tokens {limit} is less than one window of {context}; lower --context")
    if found < context:
        raise FileError(f"{path}: too short: {found} tokens, and one window needs {context}; lower --context")
    if limit is not None and limit > found:
        raise UsageError(f"--tokens {limit}; {path} has {found}")


def _check_original(models, original, context, same_tokens):
    (config, _), (other, _) = models
    if other["vocab_size"] != config["vocab_size"] or not same_tokens:
        raise UsageError(f"{original} cuts the text into other tokens; the original must have the same tokenizer")
    if other["max_position_embeddings"] < context:
        raise UsageError(f"context={context}; {original} takes 2..{other['max_position_embeddings']}")
