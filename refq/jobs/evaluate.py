"""How often a model finds the right choice likeliest."""

import collections
import math
import os
from typing import NamedTuple

import numpy as np

from refq.errors import FormatError, NonFiniteError
from refq.files.task import read_task
from refq.files.tokenizer import open_tokenizer
from refq.jobs.model import logits_in_pieces, pieces
from refq.jobs.progress import progress
from refq.jobs.running import open_model


class Request(NamedTuple):
    """Tokens before, and the tokens of all texts that may follow them."""

    item: int
    first: int  # the number of its first choice in the item
    prompt: list
    ends: list


def evaluate_model(directory, task, engine, activations="stored"):
    """Score a multiple-choice set with a model.

    score of a choice = log p(its tokens | the tokens before) / its length in bytes;  the largest score is the answer

    The tokens of a choice are those of `prompt + " " + choice` after as many as `prompt` alone has, with what the
    tokenizer puts at the start; its bytes are UTF-8, without the space. (lm-evaluation-harness cuts the same tokens;
    its acc_bytes divides by bytes too, its acc_norm by characters.) With
    context_options every choice is the same text after another prompt. Where prompt and longest choice exceed the
    model's positions, the prompt loses its left, the start token with it.

    Parameters
        directory: the model.
        task: path of the set, see read_task.
        engine: refq or refq_fast.
        activations: as open_model takes it.
    Returns
        dict: task, its name; items; accuracy; stderr, sqrt(accuracy (1 - accuracy) / (items - 1)), None for one item;
        chance, the mean of 1 / choices; truncated, the items that lost some of their prompt; and kinds, the same by
        kind, if the items name theirs.
    Raises
        FileError: a model or set that cannot be read; a choice longer than the model's positions.
        NonFiniteError: logits that are not finite.
    """
    items, model = read_task(task), open_model(directory, engine, activations)
    tokenizer = open_tokenizer(directory, model[0]["vocab_size"])
    scores, truncated = score_items(engine, model, tokenizer, items, task)
    right = [int(np.argmax(values)) == item.answer for values, item in zip(scores, items, strict=True)]
    return {"task": os.path.splitext(os.path.basename(task))[0]} | summary(items, right, truncated)


def summary(items, right, truncated):
    """The figures of items, and of every kind among them.

    Parameters
        right: list of bool.
        truncated: numbers of the items that lost some of their prompt.
    """
    report, kinds = _figures(range(len(items)), items, right, truncated), {}
    for number, item in enumerate(items):
        if item.kind is not None:
            kinds.setdefault(item.kind, []).append(number)
    named = {kind: _figures(numbers, items, right, truncated) for kind, numbers in kinds.items()}
    return report | ({"kinds": named} if named else {})


def score_items(engine, model, tokenizer, items, task):
    """The score of every choice, in nats a byte.

    Parameters
        model: (config, params).
        tokenizer: see open_tokenizer.
        items: see read_task.
        task: the name of the set, for messages.
    Returns
        scores: list of float64 (choices,), one an item.
        truncated: set, numbers of the items that lost some of their prompt.
    Raises
        FormatError, NonFiniteError: as evaluate_model.
    """
    found = [request for number, item in enumerate(items) for request in _requests(tokenizer, item, number)]
    found, truncated = _cut(found, model[0], task)
    scores = [np.zeros(len(item.choices)) for item in items]
    with progress(len(found), "questions", "scoring") as advance:
        for batch in batches(model[0], found):
            for request, nats in zip(batch, _nats(engine, model, batch), strict=True):
                for n, value in enumerate(nats, request.first):
                    scores[request.item][n] = -value / len(items[request.item].choices[n].encode())
            advance(len(batch))
    if not all(np.isfinite(values).all() for values in scores):
        raise NonFiniteError("a log-likelihood is not finite; the model's logits must be")
    return scores, truncated


def batches(config, requests):
    """Requests whose prompts have the same number of tokens, as many at once as memory bounds."""
    batch = []
    for request in sorted(requests, key=lambda request: (len(request.prompt), _width(request))):
        most, _ = pieces([config], len(request.prompt) + _width(request))
        if batch and (len(request.prompt) != len(batch[0].prompt) or len(batch) >= most):
            yield batch
            batch = []
        batch.append(request)
    if batch:
        yield batch


def _nats(engine, model, batch):
    """Minus the log-likelihood of every end of every request: the prompts run once, their ends continue the cache."""
    _, step = pieces([model[0]], len(batch[0].prompt))
    prompts = logits_in_pieces(engine, model, np.array([request.prompt for request in batch]), step)
    logits, cache = collections.deque(prompts, maxlen=1).pop()
    owner = np.repeat(np.arange(len(batch)), [len(request.ends) for request in batch])
    ends = [end for request in batch for end in request.ends]
    tokens = np.zeros((len(ends), max(map(len, ends))), np.int32)  # shorter ones are padded; nothing looks ahead
    for row, end in zip(tokens, ends, strict=True):
        row[: len(end)] = end
    cache = [tuple(part[owner] for part in pair) for pair in cache]
    nats = [engine.cross_entropy(logits[owner, -1:], tokens[:, :1])]
    step, at = max(1, step // len(ends)), 1
    for logits, _ in logits_in_pieces(engine, model, tokens[:, :-1], step, cache):
        nats.append(engine.cross_entropy(logits, tokens[:, at : at + logits.shape[1]]))
        at += logits.shape[1]
    nats = np.concatenate(nats, axis=1)
    sums = np.array([row[: len(end)].sum(dtype=np.float64) for row, end in zip(nats, ends, strict=True)])
    return np.split(sums, np.cumsum([len(request.ends) for request in batch])[:-1])


def _requests(tokenizer, item, number):
    pairs = [(item.prompts[0], item.choices)] if len(item.prompts) == 1 else None
    for first, (prompt, choices) in enumerate(pairs or zip(item.prompts, ([c] for c in item.choices), strict=True)):
        tokens = tokenizer.encode(prompt)
        yield Request(number, first, tokens, [tokenizer.encode(f"{prompt} {c}")[len(tokens) :] for c in choices])


def _cut(requests, config, task):
    """The requests with prompts that fit, and the numbers of the items that lost some of theirs."""
    positions, truncated, fitting = config["max_position_embeddings"], set(), []
    for request in requests:
        longest = max(map(len, request.ends))
        if not 1 <= min(map(len, request.ends)) or longest > positions:
            raise FormatError(
                f"{task}: item {request.item + 1}: a choice has {longest} tokens; 1..{positions} are needed"
            )
        room = positions + 1 - longest  # nothing follows the last token
        if len(request.prompt) > room:
            truncated.add(request.item)
        fitting.append(request._replace(prompt=request.prompt[-room:]))
    return fitting, truncated


def _width(request):
    return len(request.ends) * max(map(len, request.ends))


def _figures(numbers, items, right, truncated):
    share = float(np.mean([right[n] for n in numbers]))
    return {
        "items": len(numbers),
        "accuracy": share,
        "stderr": math.sqrt(share * (1 - share) / (len(numbers) - 1)) if len(numbers) > 1 else None,
        "chance": math.fsum(1 / len(items[n].choices) for n in numbers) / len(numbers),
        "truncated": len(truncated.intersection(numbers)),
    }
